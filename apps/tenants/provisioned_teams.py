"""What a directory writes through SCIM: the groups it keeps in a tenant, as teams.

A change of a thousand members is a few statements. Teams that people made here are none of a directory's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from apps.tenants import api_keys, audit, provisioned
from apps.tenants.contracts import Principal
from apps.tenants.errors import NotFound
from apps.tenants.models import Team, TeamMember
from apps.tenants.provisioning import actor_of, unique, writing
from apps.tenants.scim_patch import Operation, apply, chosen_values
from apps.tenants.scim_problems import InvalidPath, InvalidValue
from apps.tenants.scim_schema import GROUPS, coerce

Resource = dict[str, Any]

_TOLD = 400  # ids of members in one audit entry


def create_group(by: Principal, given: Mapping[str, Any]) -> Resource:
    """Make a group from a resource, and return it as kept. Raises `InvalidValue`, `Taken`."""
    resource = GROUPS.read(given)
    name = _name(resource)
    with writing(by):
        team = Team(tenant_id=by.tenant_id, name=name, external_id=resource.get("externalId", ""), provisioned=True)
        unique(lambda: team.save(force_insert=True))
        members = _memberships(by.tenant_id, _ids(resource.get("members")))
        _add(team, members)
        told = {"name": name, "external_id": team.external_id, **_told("members", members)}
        audit.record(by.tenant_id, actor_of(by), "team.provisioned", target=("team", team.id), data=told)
        return provisioned.group_in_scope(by.tenant_id, team.id)


def replace_group(by: Principal, group_id: UUID, given: Mapping[str, Any]) -> Resource:
    """Hold a group to a whole resource; one without `members` is left with none. Raises as `change_group`."""
    resource = GROUPS.read(given)
    with writing(by):
        team = _team(by, group_id)
        _rename(by, team, resource)
        _set_members(by, team, _memberships(by.tenant_id, _ids(resource.get("members"))))
        return provisioned.group_in_scope(by.tenant_id, group_id)


def change_group(by: Principal, group_id: UUID, operations: Sequence[Operation]) -> None:
    """Make changes in order; all of them or none. Raises `NotFound`, `Taken`, `InvalidValue`, `InvalidPath`."""
    with writing(by):
        team = _team(by, group_id)
        for operation in operations:
            if operation.at.attribute.name == "members":
                _change_members(by, team, operation)
            else:
                now = provisioned.group_in_scope(by.tenant_id, group_id, links=False)
                _rename(by, team, apply(GROUPS, now, [operation]))


def delete_group(by: Principal, group_id: UUID) -> None:
    """Raises `NotFound`. Rules that name the team match nobody from then on."""
    with writing(by):
        team = _team(by, group_id)
        api_keys.end_keys_of_team(by.tenant_id, team.id, actor_of(by))
        Team.objects.filter(tenant_id=by.tenant_id, id=team.id).delete()
        told = {"name": team.name, "external_id": team.external_id}
        audit.record(by.tenant_id, actor_of(by), "team.deprovisioned", target=("team", team.id), data=told)


def _team(by: Principal, group_id: UUID) -> Team:
    team = Team.objects.filter(tenant_id=by.tenant_id, id=group_id, provisioned=True).first()
    if team is None:
        raise NotFound("There is no such group.")
    return team


def _name(resource: Resource) -> str:
    name = str(resource.get("displayName", "")).strip()
    if not name:
        raise InvalidValue("displayName is to be a text.")
    return name


def _rename(by: Principal, team: Team, resource: Resource) -> None:
    name, external_id = _name(resource), str(resource.get("externalId", ""))
    if (name, external_id) == (team.name, team.external_id):
        return
    told = {"from": team.name, "to": name, "external_id": external_id}
    rows = Team.objects.filter(tenant_id=by.tenant_id, id=team.id)
    unique(lambda: rows.update(name=name, external_id=external_id))
    team.name, team.external_id = name, external_id
    audit.record(by.tenant_id, actor_of(by), "team.renamed", target=("team", team.id), data=told)


def _change_members(by: Principal, team: Team, operation: Operation) -> None:
    """Entra removes by value lists, Okta by `members[value eq "..."]`; a removal without either empties the group."""
    if operation.at.part is not None or operation.path.sub is not None:
        raise InvalidPath("Members are added and removed whole.")
    chosen = chosen_values(operation.path)
    given = None if operation.value is None else _ids(coerce(operation.at.attribute, operation.value))
    if chosen is not None:
        if operation.kind != "remove":
            raise InvalidPath("Members chosen by value can only be removed.")
        _remove(by, team, set(_known(by.tenant_id, chosen)))
    elif operation.kind == "add":
        _note(by, team, _add(team, _memberships(by.tenant_id, given or [])), set())
    elif operation.kind == "remove" and given is not None:
        _remove(by, team, set(_known(by.tenant_id, given)))
    else:
        _set_members(by, team, _memberships(by.tenant_id, given or [] if operation.kind == "replace" else []))


def _set_members(by: Principal, team: Team, wanted: set[UUID]) -> None:
    added = _add(team, wanted)
    rows = TeamMember.objects.filter(tenant_id=by.tenant_id, team_id=team.id)
    gone = set(rows.values_list("membership_id", flat=True)) - wanted
    if gone:
        api_keys.end_keys_of_team(by.tenant_id, team.id, actor_of(by), gone)
        rows.filter(membership_id__in=gone).delete()
    _note(by, team, added, gone)


def _remove(by: Principal, team: Team, unwanted: set[UUID]) -> None:
    rows = TeamMember.objects.filter(tenant_id=by.tenant_id, team_id=team.id, membership_id__in=unwanted)
    gone = set(rows.values_list("membership_id", flat=True))
    if gone:
        api_keys.end_keys_of_team(by.tenant_id, team.id, actor_of(by), gone)
        rows.delete()
    _note(by, team, set(), gone)


def _add(team: Team, wanted: set[UUID]) -> set[UUID]:
    """Those who were not there before."""
    if not wanted:
        return set()
    rows = TeamMember.objects.filter(tenant_id=team.tenant_id, team_id=team.id, membership_id__in=wanted)
    added = wanted - set(rows.values_list("membership_id", flat=True))
    TeamMember.objects.bulk_create(
        [TeamMember(tenant_id=team.tenant_id, team_id=team.id, membership_id=one) for one in sorted(added)],
        ignore_conflicts=True,
    )
    return added


def _note(by: Principal, team: Team, added: set[UUID], removed: set[UUID]) -> None:
    if added or removed:
        told = {"name": team.name, **_told("added", added), **_told("removed", removed)}
        audit.record(by.tenant_id, actor_of(by), "team.members_changed", target=("team", team.id), data=told)


def _told(what: str, members: set[UUID]) -> dict[str, Any]:
    """How many, and which: the first of them in an entry's bounds."""
    return {f"{what}_count": len(members), what: sorted(map(str, members))[:_TOLD]} if members else {}


def _ids(members: Any) -> list[str]:
    return [str(member.get("value", "")) for member in members or ()]


def _memberships(tenant_id: UUID, user_ids: Iterable[str]) -> set[UUID]:
    """Raises `InvalidValue` for an id that is no user's of this directory."""
    wanted = set(user_ids)
    ids = {found for text in wanted if (found := provisioned.uuid_of(text)) is not None}
    known = provisioned.membership_ids(tenant_id, ids) if ids else {}
    if unknown := [text for text in wanted if provisioned.uuid_of(text) not in known]:
        raise InvalidValue(f"{len(unknown):,} of the members are no users here; one of them: {min(unknown)[:80]}.")
    return set(known.values())


def _known(tenant_id: UUID, user_ids: Iterable[str]) -> set[UUID]:
    """The memberships of those ids that are users; who is not here cannot be removed, and is gone already."""
    ids = {found for text in user_ids if (found := provisioned.uuid_of(text)) is not None}
    return set(provisioned.membership_ids(tenant_id, ids).values()) if ids else set()
