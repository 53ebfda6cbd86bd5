"""What a process remembers of its stateless calls, until the ledger has them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from apps.limits.contracts import Call, OpenCall, Scope


class Held(NamedTuple):
    """A call that is open."""

    call: Call
    scopes: tuple[Scope, ...]

    def again(self) -> OpenCall:
        """As Redis is told where it has lost the call."""
        call = self.call
        return OpenCall(call.call_id, call.amount_nanousd, self.scopes, call.tokens, call.note)


@dataclass(slots=True)
class Settling:
    """A call that has ended, until it is known to be in the ledger."""

    call_id: str
    tenant_id: UUID
    scopes: tuple[Scope, ...]
    amount_nanousd: int
    tokens: int
    record: str
    at: datetime
    stream_id: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class TenantCalls:
    """What this loop knows of one tenant's calls, by call id."""

    open: dict[str, Held] = field(default_factory=dict)
    untold: dict[str, Settling] = field(default_factory=dict)
    undrained: dict[str, Settling] = field(default_factory=dict)
    unwanted: set[str] = field(default_factory=set)
    said_busy_at: float = -1e9
    tended_at: float = -1e9
    asking: int = 0
    repairing: bool = False

    @property
    def idle(self) -> bool:
        return not (self.asking or self.open or self.untold or self.undrained or self.unwanted or self.repairing)
