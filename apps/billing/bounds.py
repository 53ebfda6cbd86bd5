"""How large single calls may be: of tenant, teams, person and key the tightest word counts.

These limits hold nothing in Redis: who plans a call knows them, and refuses or shortens it before it asks to be
admitted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q

from apps.billing.contracts import TokenBound
from apps.billing.models import Quota
from apps.billing.refusals import WHOSE
from apps.billing.snapshots import scope_of, teams_of
from apps.limits.contracts import Level, Scope

Pair = tuple[TokenBound | None, TokenBound | None]
_NONE: Pair = (None, None)
_MOST_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class CallBounds:
    """A tenant's, as they were read. Empty where no quota says a word, which costs callers nothing."""

    tenant_id: UUID
    _inputs: Mapping[Scope, int] = field(default_factory=dict)
    _outputs: Mapping[Scope, int] = field(default_factory=dict)
    _teams: Mapping[UUID, tuple[Scope, ...]] = field(default_factory=dict)
    _found: dict[tuple[UUID, UUID | None], Pair] = field(default_factory=dict, repr=False)

    def of(self, user_id: UUID, api_key_id: UUID | None) -> Pair:
        """The most tokens a caller's call may bring, and may be answered with; None is no limit."""
        if not self._inputs and not self._outputs:
            return _NONE
        caller = user_id, api_key_id
        found = self._found.get(caller)
        if found is None:
            if len(self._found) >= _MOST_CALLERS:
                self._found.clear()
            found = self._found[caller] = self._find(user_id, api_key_id)
        return found

    def _find(self, user_id: UUID, api_key_id: UUID | None) -> Pair:
        chain = [Scope(Level.TENANT, str(self.tenant_id)), *self._teams.get(user_id, ())]
        chain.append(Scope(Level.USER, str(user_id)))
        if api_key_id is not None:
            chain.append(Scope(Level.KEY, str(api_key_id)))
        return _tightest(self._inputs, chain), _tightest(self._outputs, chain)


def read(tenant_id: UUID) -> CallBounds:
    """Demands the tenant's scope."""
    bounded = Q(max_input_tokens__isnull=False) | Q(max_output_tokens__isnull=False)
    rows = list(Quota.objects.filter(bounded, tenant_id=tenant_id))
    return CallBounds(
        tenant_id,
        {scope_of(row): row.max_input_tokens for row in rows if row.max_input_tokens is not None},
        {scope_of(row): row.max_output_tokens for row in rows if row.max_output_tokens is not None},
        teams_of(rows),
    )


def _tightest(bounds: Mapping[Scope, int], chain: Iterable[Scope]) -> TokenBound | None:
    found = [TokenBound(bounds[scope], WHOSE[scope.level]) for scope in chain if scope in bounds]
    return min(found, key=lambda one: one.tokens, default=None)
