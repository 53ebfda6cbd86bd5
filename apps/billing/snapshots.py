"""The limits of each tenant as this process last read them, with the epoch at which they were true."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from apps.billing.models import Quota
from apps.limits.contracts import MAX_COUNT, MAX_NANOUSD, Level, Scope, ScopeLimits
from apps.tenants.models import TeamMember
from apps.tenants.scope import tenant_scope

# What a tenant may use until an administrator says otherwise.
DEFAULT_PARALLEL_CALLS = 200
DEFAULT_REQUESTS_PER_MINUTE = 600

# A change that could not be announced is followed after this long all the same.
_KEPT_SECONDS = 30.0
_MOST_TENANTS = 10_000
_MOST_CALLERS = 10_000


@dataclass(slots=True)
class TenantLimits:
    """One tenant's limits. `epoch` 0: nobody has told an epoch yet.

    `teams` names those teams of each person that have a quota; no other team counts anything.
    """

    tenant_id: UUID
    epoch: int
    quotas: Mapping[Scope, ScopeLimits]
    teams: Mapping[UUID, tuple[Scope, ...]]
    read_at: float = field(default_factory=time.monotonic)
    _callers: dict[tuple[UUID, UUID | None], tuple[ScopeLimits, ...]] = field(default_factory=dict)

    @property
    def old(self) -> bool:
        return time.monotonic() - self.read_at > _KEPT_SECONDS

    def of(self, user_id: UUID, api_key_id: UUID | None) -> tuple[ScopeLimits, ...]:
        """Every limit that applies to a caller: the tenant's, its teams', its own, its key's."""
        known = self._callers.get((user_id, api_key_id))
        if known is None:
            if len(self._callers) >= _MOST_CALLERS:
                self._callers.clear()
            known = self._callers[user_id, api_key_id] = self._chain(user_id, api_key_id)
        return known

    def of_requests(self, user_id: UUID, api_key_id: UUID | None) -> tuple[ScopeLimits, ...]:
        """Of these, what each says of requests per minute, and nothing else."""
        limits = self.of(user_id, api_key_id)
        return tuple(ScopeLimits(one.scope, requests_per_minute=one.requests_per_minute) for one in limits)

    def scopes(self, user_id: UUID, api_key_id: UUID | None) -> tuple[Scope, ...]:
        """The scopes that a caller's calls count in."""
        return tuple(limits.scope for limits in self.of(user_id, api_key_id))

    def _chain(self, user_id: UUID, api_key_id: UUID | None) -> tuple[ScopeLimits, ...]:
        whole, own = scopes(self.tenant_id, user_id)
        chain = [self.quotas.get(whole) or _default(whole)]
        chain += [self.quotas[team] for team in self.teams.get(user_id, ())]
        chain.append(self.quotas.get(own) or ScopeLimits(own))
        key = None if api_key_id is None else self.quotas.get(Scope(Level.KEY, str(api_key_id)))
        return tuple(chain if key is None else [*chain, key])


def scopes(tenant_id: UUID, user_id: UUID) -> tuple[Scope, Scope]:
    """The scopes that every call of this user counts in, whatever quotas there are."""
    return Scope(Level.TENANT, str(tenant_id)), Scope(Level.USER, str(user_id))


def _default(scope: Scope) -> ScopeLimits:
    return ScopeLimits(scope, requests_per_minute=DEFAULT_REQUESTS_PER_MINUTE, parallel_calls=DEFAULT_PARALLEL_CALLS)


def scope_of(quota: Quota) -> Scope:
    """Whose quota it is."""
    for level, id in ((Level.TEAM, quota.team_id), (Level.USER, quota.user_id), (Level.KEY, quota.api_key_id)):
        if id is not None:
            return Scope(level, str(id))
    return Scope(Level.TENANT, str(quota.tenant_id))


def _scope_limits(quota: Quota) -> ScopeLimits:
    return ScopeLimits(
        scope_of(quota),
        requests_per_minute=_most(quota.requests_per_minute, MAX_COUNT),
        parallel_calls=_most(quota.parallel_calls, MAX_COUNT),
        budget_day_nanousd=_most(quota.budget_day_nanousd, MAX_NANOUSD),
        budget_month_nanousd=_most(quota.budget_month_nanousd, MAX_NANOUSD),
        tokens_per_minute=_most(quota.tokens_per_minute, MAX_COUNT),
        tokens_per_day=_most(quota.tokens_per_day, MAX_NANOUSD),
        tokens_per_month=_most(quota.tokens_per_month, MAX_NANOUSD),
    )


def _most(limit: int | None, countable: int) -> int | None:
    """A limit beyond what can be counted limits nothing that can happen."""
    return None if limit is None else min(limit, countable)


_lock = threading.Lock()
_known: dict[UUID, TenantLimits] = {}
_told_when_stale: list[Callable[[UUID], None]] = []


def known(tenant_id: UUID) -> TenantLimits | None:
    """What is in memory, however old."""
    return _known.get(tenant_id)


def get(tenant_id: UUID) -> TenantLimits:
    """What is in memory, read again where it is missing or old."""
    snapshot = _known.get(tenant_id)
    if snapshot is None or snapshot.old:
        return load(tenant_id, 0 if snapshot is None else snapshot.epoch)
    return snapshot


def load(tenant_id: UUID, epoch: int) -> TenantLimits:
    """Read the limits, which are at least as new as `epoch`."""
    with tenant_scope(tenant_id):
        rows = list(Quota.objects.filter(tenant_id=tenant_id))
        teams = teams_of(rows)
    quotas = {limits.scope: limits for limits in map(_scope_limits, rows)}
    snapshot = TenantLimits(tenant_id, epoch, quotas, teams)
    with _lock:
        current = _known.get(tenant_id)
        if current is not None and current.epoch > epoch:
            return current  # somebody else was told of a later change, and read after it
        if len(_known) >= _MOST_TENANTS:
            _known.clear()
        _known[tenant_id] = snapshot
    return snapshot


def teams_of(rows: Iterable[Quota]) -> dict[UUID, tuple[Scope, ...]]:
    """Of those teams that have one of these quotas, each person's. Demands the tenant's scope."""
    team_ids = sorted(row.team_id for row in rows if row.team_id is not None)
    found: dict[UUID, tuple[Scope, ...]] = {}
    if team_ids:
        members = TeamMember.objects.filter(team_id__in=team_ids).order_by("team_id")
        for user_id, team_id in members.values_list("membership__user_id", "team_id"):
            found[user_id] = (*found.get(user_id, ()), Scope(Level.TEAM, str(team_id)))
    return found


def reload(tenant_id: UUID, epoch: int) -> TenantLimits:
    """Read the limits again because `epoch` is newer than what was known, after telling all who keep such views."""
    tell(tenant_id)
    return load(tenant_id, epoch)


def when_stale(callback: Callable[[UUID], None]) -> None:
    """Have `callback(tenant_id)` called, from any thread, whenever keys, limits or models of a tenant have changed."""
    _told_when_stale.append(callback)


def tell(tenant_id: UUID) -> None:
    """Say that whatever is known of the tenant may be older than its last change."""
    for callback in _told_when_stale:
        callback(tenant_id)


def somebody_is_told() -> bool:
    return bool(_told_when_stale)
