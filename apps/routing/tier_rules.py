"""Whom the tiers of a tenant's models are open to."""

from collections import defaultdict
from dataclasses import dataclass
from uuid import UUID

from apps.tenants.models import ModelRule, TeamMember


@dataclass(frozen=True, slots=True)
class TierRule:
    """Whom a tier is open to. `members` are the people of the teams that the rule names."""

    roles: frozenset[str]
    members: frozenset[UUID]

    def opens(self, role: str, user_id: UUID) -> bool:
        return role in self.roles or user_id in self.members


def read(tenant_id: UUID) -> dict[str, TierRule]:
    """The tenant's rules by tier, the teams they name resolved to people. Demands the tenant's scope."""
    rows = list(ModelRule.objects.filter(tenant_id=tenant_id))
    named = {team for row in rows for team in row.teams}
    people: dict[UUID, set[UUID]] = defaultdict(set)
    if named:
        members = TeamMember.objects.filter(tenant_id=tenant_id, team_id__in=named)
        for team_id, user_id in members.values_list("team_id", "membership__user_id"):
            people[team_id].add(user_id)
    return {
        row.tier: TierRule(frozenset(row.roles), frozenset[UUID]().union(*(people[team] for team in row.teams)))
        for row in rows
    }
