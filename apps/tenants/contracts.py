"""What crosses the border of `tenants`: who is calling, for which tenant."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class Via(StrEnum):
    """How the caller proved who they are."""

    SESSION = "session"
    JWT = "jwt"
    API_KEY = "api_key"


class Scope(StrEnum):
    """What a restricted API key may open. A key without scopes opens all of it."""

    CHAT = "chat"  # the doors under /v1/ and the WebSocket
    MANAGE = "manage"  # the REST API under /api/


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: one person (or a program in their name) in one tenant. Every route resolves to this first.

    `scopes` is empty for a person's session (everything their role may do) and for an unrestricted key.
    """

    user_id: UUID
    tenant_id: UUID
    role: str
    user_name: str
    user_email: str
    tenant_name: str
    via: Via
    scopes: frozenset[str] = frozenset()
    api_key_id: UUID | None = None

    @property
    def is_authenticated(self) -> bool:
        """What Django REST framework asks of a user object."""
        return True

    @property
    def administers(self) -> bool:
        """Whether the role may act on what belongs to other members of the tenant."""
        return self.role in ("owner", "admin")

    def allows(self, scope: Scope) -> bool:
        """Whether the credential opens doors of this scope."""
        return not self.scopes or scope in self.scopes


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key at the one moment its secret is known."""

    id: UUID
    name: str
    prefix: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKeySummary:
    """A key as lists show it. `prefix` is the part of the secret that identifies it."""

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    user_name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class MembershipSummary:
    """A tenant somebody may work in, and as what."""

    tenant_id: UUID
    tenant_name: str
    tenant_slug: str
    role: str


@dataclass(frozen=True, slots=True)
class NewTenant:
    id: UUID
    slug: str
    owner_id: UUID
