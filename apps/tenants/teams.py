"""Teams, the rules that open model tiers to roles and teams, and what a tenant says of itself."""

from collections.abc import Collection
from functools import partial
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.accounts.contracts import is_storable
from apps.problems import Conflict
from apps.tenants import api_keys, audit, epochs, instructions
from apps.tenants.contracts import (
    LONGEST_FIRST_TOKEN_MS,
    MOST_USD,
    NANOUSD_PER_USD,
    ModelRuleSummary,
    Principal,
    TeamSummary,
    TenantSummary,
)
from apps.tenants.errors import InvalidTeam, InvalidTenant, NotFound
from apps.tenants.models import Membership, ModelRule, Team, TeamMember, Tenant
from apps.tenants.policy import Action, Role, require
from apps.tenants.scope import tenant_scope

MAX_NAME = 120
MAX_TIER = 40
MAX_TEAMS = 500
# More than any model gives; a larger number is a slip.
MOST_OUTPUT_TOKENS = 1_000_000
MOST = {
    "max_output_tokens": MOST_OUTPUT_TOKENS,
    "max_cost_nanousd": MOST_USD * NANOUSD_PER_USD,
    "max_first_token_ms": LONGEST_FIRST_TOKEN_MS,
}


def teams(principal: Principal) -> list[TeamSummary]:
    """The tenant's teams by name, each with its members' membership ids."""
    with tenant_scope(principal.tenant_id):
        rows = Team.objects.filter(tenant_id=principal.tenant_id).order_by("name", "id").prefetch_related("members")
        return [
            TeamSummary(row.id, row.name, row.provisioned, tuple(one.membership_id for one in row.members.all()))
            for row in rows
        ]


def create_team(principal: Principal, name: str) -> UUID:
    """Open a team. Raises `InvalidTeam`, `Conflict` where the name is taken."""
    require(principal, Action.TEAMS_MANAGE)
    name = _checked(name)
    with tenant_scope(principal.tenant_id):
        if Team.objects.filter(tenant_id=principal.tenant_id).count() >= MAX_TEAMS:
            raise InvalidTeam(f"There are {MAX_TEAMS} teams already.")
        team = Team(tenant_id=principal.tenant_id, name=name)
        _save(team, force_insert=True)
        _record(principal, "team.created", team.id, name=name)
    return team.id


def rename_team(principal: Principal, team_id: UUID, name: str) -> str:
    """Returns the earlier name. Raises `NotFound`, `InvalidTeam`, `Conflict`."""
    require(principal, Action.TEAMS_MANAGE)
    name = _checked(name)
    with tenant_scope(principal.tenant_id):
        team = _team(principal, team_id)
        earlier, team.name = team.name, name
        _save(team, update_fields=["name"])
        _record(principal, "team.renamed", team_id, **{"from": earlier, "to": name})
    return earlier


def delete_team(principal: Principal, team_id: UUID) -> None:
    """Dissolve a team; its keys end, and rules that name it open their tier to its members no more. Raises
    `NotFound`."""
    require(principal, Action.TEAMS_MANAGE)
    with tenant_scope(principal.tenant_id):
        team = _team(principal, team_id)
        api_keys.end_keys_of_team(principal.tenant_id, team_id, audit.Actor.of(principal))
        TeamMember.objects.filter(tenant_id=principal.tenant_id, team_id=team_id).delete()
        Team.objects.filter(id=team_id).delete()
        _record(principal, "team.deleted", team_id, name=team.name)


def add_member(principal: Principal, team_id: UUID, membership_id: UUID) -> None:
    """Put a member into a team; twice is once. Raises `NotFound`."""
    require(principal, Action.TEAMS_MANAGE)
    with tenant_scope(principal.tenant_id):
        _team(principal, team_id)
        if not Membership.objects.filter(tenant_id=principal.tenant_id, id=membership_id).exists():
            raise NotFound("There is no such member.")
        _, is_new = TeamMember.objects.get_or_create(
            tenant_id=principal.tenant_id, team_id=team_id, membership_id=membership_id
        )
        if is_new:
            _record(principal, "team.member_added", team_id, membership=membership_id)
            transaction.on_commit(partial(epochs.passed, principal.tenant_id))


def remove_member(principal: Principal, team_id: UUID, membership_id: UUID) -> None:
    """Take a member out of a team; their keys of it end. Raises `NotFound`."""
    require(principal, Action.TEAMS_MANAGE)
    with tenant_scope(principal.tenant_id):
        api_keys.end_keys_of_team(principal.tenant_id, team_id, audit.Actor.of(principal), [membership_id])
        rows = TeamMember.objects.filter(tenant_id=principal.tenant_id, team_id=team_id, membership_id=membership_id)
        if not rows.delete()[0]:
            raise NotFound("There is no such member in this team.")
        _record(principal, "team.member_removed", team_id, membership=membership_id)


def model_rules(principal: Principal) -> list[ModelRuleSummary]:
    """The tenant's rules by tier. A tier without a rule is open to all who may ask."""
    with tenant_scope(principal.tenant_id):
        rows = ModelRule.objects.filter(tenant_id=principal.tenant_id).order_by("tier")
        return [ModelRuleSummary(row.tier, tuple(row.roles), tuple(row.teams)) for row in rows]


def set_model_rule(principal: Principal, tier: str, roles: Collection[str], team_ids: Collection[UUID]) -> None:
    """Open a tier to these roles and teams, and to nobody else, from the next admission on, in every process.

    Raises `InvalidTeam` for an unknown role or team.
    """
    require(principal, Action.RULES_MANAGE)
    wrong: dict[str, list[str]] = {}
    if not tier or len(tier) > MAX_TIER or not is_storable(tier):
        wrong["tier"] = [f"Use 1 to {MAX_TIER} characters."]
    if unknown := sorted(set(roles) - set(Role)):
        wrong["roles"] = [f"Unknown: {', '.join(unknown)[:200]}. Known: {', '.join(Role)}."]
    with tenant_scope(principal.tenant_id):
        known = set(Team.objects.filter(tenant_id=principal.tenant_id).values_list("id", flat=True))
        if set(team_ids) - known:
            wrong["teams"] = ["There is no such team."]
        if wrong:
            raise InvalidTeam("The rule cannot be made like this.", fields=wrong)
        told = {"roles": sorted(set(roles)), "teams": sorted(set(team_ids), key=str)}
        rules = ModelRule.objects.filter(tenant_id=principal.tenant_id, tier=tier)
        if not rules.update(**told):
            ModelRule(tenant_id=principal.tenant_id, tier=tier, **told).save(force_insert=True)
        _record(principal, "model_rule.set", rules.get().id, kind="model_rule", tier=tier, **told)
        transaction.on_commit(partial(epochs.passed, principal.tenant_id))


def remove_model_rule(principal: Principal, tier: str) -> None:
    """Open a tier to everybody again. Raises `NotFound`."""
    require(principal, Action.RULES_MANAGE)
    with tenant_scope(principal.tenant_id):
        rule = ModelRule.objects.filter(tenant_id=principal.tenant_id, tier=tier).first()
        if rule is None:
            raise NotFound("There is no such rule.")
        ModelRule.objects.filter(id=rule.id).delete()
        _record(principal, "model_rule.removed", rule.id, kind="model_rule", tier=tier)
        transaction.on_commit(partial(epochs.passed, principal.tenant_id))


def tenant(principal: Principal) -> TenantSummary:
    """What the tenant says of itself."""
    with tenant_scope(principal.tenant_id):
        row = Tenant.objects.get(id=principal.tenant_id)
        told = instructions.read(row.id, principal.user_id).workspace
        return TenantSummary(
            row.id,
            row.name,
            row.slug,
            row.plan,
            row.requires_second_factor,
            row.created_at,
            row.max_output_tokens,
            told,
            row.summaries,
            row.max_cost_nanousd,
            row.max_first_token_ms,
        )


def change_tenant(
    principal: Principal,
    *,
    name: str | None = None,
    requires_second_factor: bool | None = None,
    max_output_tokens: int | None = None,
    summaries: bool | None = None,
    max_cost_nanousd: int | None = None,
    max_first_token_ms: int | None = None,
) -> None:
    """Rename the tenant, demand a second factor of its members, bound its answers, or summarise what no longer fits.

    None leaves as it is. A bound of 0 is taken away. Every process obeys from the next admission on. Raises
    `InvalidTenant`.
    """
    require(principal, Action.TENANT_CHANGE)
    with tenant_scope(principal.tenant_id):
        row = Tenant.objects.select_for_update(no_key=True).get(id=principal.tenant_id)
        changes: dict[str, object] = {}
        if name is not None:
            name = name.strip()
            if not name or len(name) > MAX_NAME or not is_storable(name):
                message = f"Give the workspace a name of at most {MAX_NAME} characters."
                raise InvalidTenant("The workspace was not changed.", fields={"name": [message]})
            changes["name"] = name
        if requires_second_factor is not None:
            changes["requires_second_factor"] = requires_second_factor
        bounds = {
            "max_output_tokens": max_output_tokens,
            "max_cost_nanousd": max_cost_nanousd,
            "max_first_token_ms": max_first_token_ms,
        }
        changes |= {name: _bound(name, value) for name, value in bounds.items() if value is not None}
        if summaries is not None:
            changes["summaries"] = summaries
        before = {field: getattr(row, field) for field in changes}
        if before == changes:
            return
        Tenant.objects.filter(id=row.id).update(**changes)
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "tenant.changed",
            target=("tenant", row.id),
            data={"from": before, "to": changes},
        )
        transaction.on_commit(partial(epochs.passed, principal.tenant_id))


def _bound(name: str, value: int) -> int | None:
    """The bound as it is kept; 0 is none. Raises `InvalidTenant`."""
    most = MOST[name]
    if not 0 <= value <= most:
        message = f"Choose a whole number from 1 to {most:,}, or none."
        raise InvalidTenant("The workspace was not changed.", fields={name: [message]})
    return value or None


def _team(principal: Principal, team_id: UUID) -> Team:
    team = Team.objects.filter(tenant_id=principal.tenant_id, id=team_id).first()
    if team is None:
        raise NotFound("There is no such team.")
    return team


def _save(team: Team, **how: object) -> None:
    try:
        with transaction.atomic():
            team.save(**how)  # type: ignore[arg-type]
    except IntegrityError as error:
        if "tenants_team_name" not in str(error):
            raise
        raise Conflict("There is a team of that name already.") from error


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME or not is_storable(name):
        message = f"Give the team a name of at most {MAX_NAME} characters."
        raise InvalidTeam("The team cannot be called that.", fields={"name": [message]})
    return name


def _record(principal: Principal, action: str, target_id: UUID, *, kind: str = "team", **data: object) -> None:
    audit.record(principal.tenant_id, audit.Actor.of(principal), action, target=(kind, target_id), data=data)
