"""Reads for a directory: the users and groups that it keeps in a tenant, as SCIM resources.

A resource is a plain dict in `scim_schema`'s form with `id` and `meta`, but without addresses, which doors add.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Lower

from apps.tenants import audit
from apps.tenants.contracts import Principal
from apps.tenants.errors import NotFound
from apps.tenants.models import ProvisionedUser, Team, TeamMember
from apps.tenants.scim_filter import AttributePath, Filter, mentioned
from apps.tenants.scim_match import equal_to, predicate, sort_key
from apps.tenants.scim_schema import GROUPS, USERS, Schema
from apps.tenants.scope import tenant_scope

MAX_PAGE = 200
_WALK = 500  # rows fetched at a time where every resource is looked at

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What a directory asks for. `start` counts from 1. `links`: with groups of users, members of groups."""

    filter: Filter | None = None
    sort_by: AttributePath | None = None
    descending: bool = False
    start: int = 1
    count: int = MAX_PAGE
    links: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """`total` is how many fit; `resources` those from `start` on."""

    total: int
    start: int
    resources: list[Resource]


def user(principal: Principal, user_id: UUID) -> Resource:
    """Raises `NotFound`."""
    with tenant_scope(principal.tenant_id):
        _note_read(principal)
        return user_in_scope(principal.tenant_id, user_id)


def users(principal: Principal, query: Query) -> Page:
    """Raises `InvalidFilter`, `InvalidPath`."""
    with tenant_scope(principal.tenant_id):
        _note_read(principal)
        return _find(_USERS, principal.tenant_id, query)


def group(principal: Principal, group_id: UUID, *, links: bool = True) -> Resource:
    """Raises `NotFound`."""
    with tenant_scope(principal.tenant_id):
        _note_read(principal)
        return group_in_scope(principal.tenant_id, group_id, links=links)


def groups(principal: Principal, query: Query) -> Page:
    """Raises `InvalidFilter`, `InvalidPath`."""
    with tenant_scope(principal.tenant_id):
        _note_read(principal)
        return _find(_GROUPS, principal.tenant_id, query)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a directory keeps in a tenant."""

    users: int
    groups: int


def counts(principal: Principal) -> Counts:
    with tenant_scope(principal.tenant_id):
        people = ProvisionedUser.objects.filter(tenant_id=principal.tenant_id).count()
        return Counts(people, Team.objects.filter(tenant_id=principal.tenant_id, provisioned=True).count())


def user_in_scope(tenant_id: UUID, user_id: UUID) -> Resource:
    """Within the tenant's scope. Raises `NotFound`."""
    row = _USERS.rows(tenant_id).filter(id=user_id).first()
    if row is None:
        raise NotFound("There is no such user.")
    found = [user_resource(row)]
    _add_groups(tenant_id, found)
    return found[0]


def group_in_scope(tenant_id: UUID, group_id: UUID, *, links: bool = True) -> Resource:
    """Within the tenant's scope. Raises `NotFound`."""
    row = _GROUPS.rows(tenant_id).filter(id=group_id).first()
    if row is None:
        raise NotFound("There is no such group.")
    found = [group_resource(row)]
    if links:
        _add_members(tenant_id, found)
    return found[0]


def user_resource(row: ProvisionedUser) -> Resource:
    """`row` comes with its membership. Pending people count as active: the directory has done its part."""
    membership = row.membership
    resource: Resource = {"id": str(row.id), "userName": row.user_name}
    if row.external_id:
        resource["externalId"] = row.external_id
    resource |= row.attributes
    resource["active"] = row.active if row.pending else membership.suspended_at is None
    resource["roles"] = [{"value": membership.role}]
    resource["meta"] = _meta("User", row.created_at, row.changed_at)
    return resource


def display_name(attributes: Resource, user_name: str) -> str:
    """What a directory calls somebody."""
    name = attributes.get("name", {})
    both = f"{name.get('givenName', '')} {name.get('familyName', '')}"
    found = (attributes.get("displayName", ""), name.get("formatted", ""), both, user_name)
    return next((text.strip() for text in found if text.strip()), user_name)[:120]


def group_resource(row: Team) -> Resource:
    resource: Resource = {"id": str(row.id), "displayName": row.name}
    if row.external_id:
        resource["externalId"] = row.external_id
    return resource | {"meta": _meta("Group", row.created_at, row.created_at)}


def _meta(kind: str, created: Any, changed: Any) -> Resource:
    return {"resourceType": kind, "created": _time(created), "lastModified": _time(changed)}


def _time(moment: Any) -> str:
    return str(moment.isoformat(timespec="milliseconds")).replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind of resource is found."""

    schema: Schema
    rows: Callable[[UUID], QuerySet[Any]]
    resource: Callable[[Any], Resource]
    link: str
    add_links: Callable[[UUID, list[Resource]], None]
    columns: dict[str, str]  # dotted name of an attribute -> the column that sorts like it
    equals: dict[str, Callable[[str], Q]]  # dotted name -> rows that may equal a text


def _find(kind: _Kind, tenant_id: UUID, query: Query) -> Page:
    """In SQL where rows alone decide; else by looking at resources, of the rows that can fit."""
    rows = kind.rows(tenant_id)
    sort_column = kind.columns.get(_dotted(kind.schema, query.sort_by)) if query.sort_by else ""
    if query.filter is None and sort_column is not None:
        ordered = [sort_column, "id"] if sort_column else ["created_at", "id"]
        rows = rows.order_by(*ordered)
        rows = rows.reverse() if query.descending and sort_column else rows
        begin = query.start - 1
        page = [kind.resource(row) for row in rows[begin : begin + query.count]] if query.count else []
        if query.links:
            kind.add_links(tenant_id, page)
        return Page(rows.count(), query.start, page)
    found = _fitting(kind, tenant_id, query)
    if query.sort_by:
        found.sort(key=sort_key(kind.schema, query.sort_by), reverse=query.descending)
    page = found[query.start - 1 : query.start - 1 + query.count]
    if query.links and not _asks_for_links(kind, query):
        kind.add_links(tenant_id, page)
    return Page(len(found), query.start, page)


def _fitting(kind: _Kind, tenant_id: UUID, query: Query) -> list[Resource]:
    rows = kind.rows(tenant_id).order_by("created_at", "id")
    if query.filter is None:
        return [kind.resource(row) for row in rows]
    fits = predicate(kind.schema, query.filter)
    for name, value in equal_to(kind.schema, query.filter).items():
        if name in kind.equals:
            rows = rows.filter(kind.equals[name](value))
    found: list[Resource] = []
    for chunk in _chunks(rows):
        resources = [kind.resource(row) for row in chunk]
        if _asks_for_links(kind, query):
            kind.add_links(tenant_id, resources)
        found += filter(fits, resources)
    return found


def _asks_for_links(kind: _Kind, query: Query) -> bool:
    return query.filter is not None and kind.link.lower() in mentioned(query.filter)


def _chunks(rows: QuerySet[Any]) -> Iterator[list[Any]]:
    chunk: list[Any] = []
    for row in rows.iterator(chunk_size=_WALK):
        chunk.append(row)
        if len(chunk) == _WALK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _dotted(schema: Schema, path: AttributePath) -> str:
    found = schema.find(path)
    return f"{found.attribute.name}.{found.part.name}" if found.part else found.attribute.name


def _add_groups(tenant_id: UUID, resources: Iterable[Resource]) -> None:
    by_id = {UUID(resource["id"]): resource for resource in resources}
    rows = TeamMember.objects.filter(
        tenant_id=tenant_id, team__provisioned=True, membership__provisioned__id__in=list(by_id)
    )
    for user_id, team_id, name in rows.order_by("team__name").values_list(
        "membership__provisioned__id", "team_id", "team__name"
    ):
        kept = by_id[user_id].setdefault("groups", [])
        kept.append({"value": str(team_id), "display": name, "type": "direct"})


def _add_members(tenant_id: UUID, resources: Iterable[Resource]) -> None:
    by_id = {UUID(resource["id"]): resource for resource in resources}
    rows = TeamMember.objects.filter(
        tenant_id=tenant_id, team_id__in=list(by_id), membership__provisioned__isnull=False
    )
    members: dict[UUID, list[Resource]] = defaultdict(list)
    for team_id, user_id, user_name in rows.order_by("created_at", "id").values_list(
        "team_id", "membership__provisioned__id", "membership__provisioned__user_name"
    ):
        members[team_id].append({"value": str(user_id), "display": user_name, "type": "User"})
    for team_id, found in members.items():
        by_id[team_id]["members"] = found


def membership_ids(tenant_id: UUID, user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The memberships of a tenant's provisioned users, by the users' ids; unknown ids are left out."""
    rows = ProvisionedUser.objects.filter(tenant_id=tenant_id, id__in=list(user_ids))
    return dict(rows.values_list("id", "membership_id"))


def uuid_of(text: str) -> UUID | None:
    """The id a text spells; None for what is no id of ours."""
    try:
        return UUID(text) if len(text) == 36 else None
    except ValueError:
        return None


def _is_id(text: str) -> Q:
    found = uuid_of(text)
    return Q(id=found) if found else Q(pk__in=[])


def _has_member(text: str) -> Q:
    found = uuid_of(text)
    return Q(members__membership__provisioned__id=found) if found else Q(pk__in=[])


def _user_rows(tenant_id: UUID) -> QuerySet[Any]:
    rows = ProvisionedUser.objects.filter(tenant_id=tenant_id).select_related("membership")
    return rows.alias(lower_name=Lower("user_name"))


def _group_rows(tenant_id: UUID) -> QuerySet[Any]:
    rows = Team.objects.filter(tenant_id=tenant_id, provisioned=True)
    return rows.alias(lower_name=Lower("name"), changed_at=F("created_at"))


def _note_read(principal: Principal) -> None:
    audit.record_read(principal, "directory.read", target=("tenant", principal.tenant_id))


_BY_ID = {"id": "id", "meta.created": "created_at", "meta.lastModified": "changed_at"}
_USERS = _Kind(
    USERS,
    _user_rows,
    user_resource,
    "groups",
    _add_groups,
    {**_BY_ID, "userName": "lower_name"},
    {
        "id": _is_id,
        "userName": lambda text: Q(lower_name=text.lower()),
        "externalId": lambda text: Q(external_id=text),
    },
)
_GROUPS = _Kind(
    GROUPS,
    _group_rows,
    group_resource,
    "members",
    _add_members,
    {**_BY_ID, "displayName": "lower_name"},
    {
        "id": _is_id,
        "displayName": lambda text: Q(lower_name=text.lower()),
        "externalId": lambda text: Q(external_id=text),
        "members.value": _has_member,
    },
)
