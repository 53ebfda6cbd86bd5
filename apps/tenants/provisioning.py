"""What a directory writes through SCIM: the users it keeps in a tenant. Their accounts are never touched.

An account is global and may belong to other tenants, so whatever a directory says of a person is kept beside their
membership of this tenant. An account that was there before is never entered by somebody else's word: its person
agrees first, and until then the membership is suspended. The directory cannot tell the two apart.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from allauth.account.models import EmailAddress
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Value
from django.db.models.functions import Lower, Now
from uuid6 import uuid7

from apps.accounts import selectors as accounts
from apps.accounts import services as account_services
from apps.accounts.contracts import CheckedAccount, is_storable
from apps.accounts.errors import InvalidAccount
from apps.problems import Conflict, Forbidden
from apps.tenants import audit, epochs, provisioned
from apps.tenants.contracts import Principal
from apps.tenants.errors import NotFound
from apps.tenants.models import Membership, ProvisionedUser, TeamMember, Tenant
from apps.tenants.offboarding import offboard
from apps.tenants.policy import Action, Role, require
from apps.tenants.scim_problems import InvalidValue, Taken
from apps.tenants.scim_schema import NAME_LENGTH, USERS
from apps.tenants.scope import tenant_scope
from apps.tenants.standing import still_stands

Resource = dict[str, Any]

_ELSEWHERE = ("id", "meta", "userName", "externalId", "active", "roles", "groups")
_UNIQUE = ("tenants_provisioneduser_name", "membership_id", "tenants_team_name")
_RACES = 5  # times that somebody else may change a membership under a directory's hand

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A user as a directory wants it. `active` and `role` None: not said."""

    user_name: str
    external_id: str
    active: bool | None
    role: str | None
    attributes: Resource

    @classmethod
    def read(cls, given: Mapping[str, Any], *, role_now: str = "") -> "_Wanted":
        """Raises `InvalidValue`."""
        resource = USERS.read(given)
        user_name = str(resource.get("userName", "")).strip()
        if not user_name or len(user_name) > NAME_LENGTH:
            raise InvalidValue(f"userName is to be a text of at most {NAME_LENGTH} characters.")
        return cls(
            user_name,
            str(resource.get("externalId", "")),
            resource.get("active"),
            _role(resource.get("roles"), role_now),
            {name: value for name, value in resource.items() if name not in _ELSEWHERE},
        )

    def email(self) -> str:
        """The address of the account: the first choice of `emails`, else a userName that is one."""
        emails = sorted(self.attributes.get("emails", ()), key=lambda one: not one.get("primary"))
        for text in [*(one.get("value", "") for one in emails), self.user_name]:
            address = text.strip().lower()
            if _is_address(address):
                return str(address)
        raise InvalidValue("Give an e-mail address: as userName, or in emails.")


def create_user(by: Principal, given: Mapping[str, Any]) -> Resource:
    """Make a user from a resource, and return it as kept.

    A member of the tenant whom the directory does not keep yet is taken over as they are. Raises `InvalidValue`,
    `Taken`, `LastOwner`.
    """
    wanted = _Wanted.read(given)
    email = wanted.email()
    row_id = uuid7()
    with writing(by):
        _refuse_taken(by.tenant_id, wanted.user_name)
        place = _place(by.tenant_id, email, wanted)
        if ProvisionedUser.objects.filter(tenant_id=by.tenant_id, membership_id=place.membership.id).exists():
            raise Taken("Another user has this e-mail address.")
        row = ProvisionedUser(
            id=row_id,
            tenant_id=by.tenant_id,
            membership=place.membership,
            user_name=wanted.user_name,
            external_id=wanted.external_id,
            attributes=wanted.attributes,
            active=place.active,
            pending=place.pending,
            made_account=place.made_account,
        )
        unique(lambda: row.save(force_insert=True))
        told = {"user_name": row.user_name, "external_id": row.external_id, "role": place.membership.role}
        target = ("membership", place.membership.id)
        audit.record(by.tenant_id, actor_of(by), "member.provisioned", target=target, data=told)
        kept = provisioned.user_in_scope(by.tenant_id, row_id)
    log.info("directory.user_created", membership_id=str(place.membership.id))
    # Only a member who was there before can still differ from what is asked for.
    wish = {"active": wanted.active is not False} | ({"roles": [{"value": wanted.role}]} if wanted.role else {})
    if kept["active"] is wish["active"] and wanted.role in (None, place.membership.role):
        return kept
    return change_user(by, row_id, lambda now: now | wish)


def change_user(by: Principal, user_id: UUID, change: Callable[[Resource], Mapping[str, Any]]) -> Resource:
    """Hold a user to what `change` makes of it, and return it as kept. Not said: `active` and `roles` stay.

    `change` may be called again where somebody else was quicker. `active` false off-boards the person, true lets them
    in again. Raises `NotFound`, `InvalidValue`, `Taken`, `LastOwner`, and `Forbidden` for an owner.
    """
    for _ in range(_RACES):
        with writing(by):
            row = _row(by.tenant_id, user_id)
            before = provisioned.user_resource(row)
            wanted = _Wanted.read(change(before), role_now=row.membership.role)
            leaves = wanted.active is False and row.membership.suspended_at is None
            if leaves:
                _may_handle(by, row.membership)
            else:
                changed = _write(by, row, before, wanted)
                kept = provisioned.user_in_scope(by.tenant_id, user_id)
        if not leaves:
            if changed:
                epochs.rights_changed(by.tenant_id, row.membership.user_id)
            return kept
        offboard(actor_of(by), row.membership_id)
    raise Conflict("Somebody else is changing this member. Try again.")


def delete_user(by: Principal, user_id: UUID) -> None:
    """Off-board a user, and forget what the directory said. Raises `NotFound`, `LastOwner`, `Forbidden`.

    What they wrote and spent stays with the tenant, and so does their suspended membership. Of somebody who never
    agreed to join nothing stays.
    """
    for _ in range(_RACES):
        with writing(by):
            row = _row(by.tenant_id, user_id)
            leaves = row.membership.suspended_at is None
            if leaves:
                _may_handle(by, row.membership)
            else:
                told = {"user_name": row.user_name, "external_id": row.external_id}
                target = ("membership", row.membership_id)
                teams = TeamMember.objects.filter(tenant_id=by.tenant_id, membership_id=row.membership_id)
                teams.filter(team__provisioned=True).delete()
                ProvisionedUser.objects.filter(tenant_id=by.tenant_id, id=row.id).delete()
                if row.pending:
                    Membership.objects.filter(tenant_id=by.tenant_id, id=row.membership_id).delete()
                audit.record(by.tenant_id, actor_of(by), "member.deprovisioned", target=target, data=told)
                return
        offboard(actor_of(by), row.membership_id)
    raise Conflict("Somebody else is changing this member. Try again.")


def unclaimed_account(tenant_id: UUID, external_id: str) -> UUID | None:
    """The account that this tenant's directory made for a person and nobody has ever entered; within the scope.

    `external_id` is the directory's own id of the person, as its identity provider vouches for it. Never an address:
    people may choose those.
    """
    rows = ProvisionedUser.objects.filter(
        external_id=external_id,
        tenant_id=tenant_id,
        made_account=True,
        membership__suspended_at=None,
        membership__user__last_login=None,
    )
    found = [row.membership.user for row in rows.select_related("membership__user")[:2]]
    if not external_id or len(found) != 1 or found[0].has_usable_password():
        return None
    return found[0].id


@contextmanager
def writing(by: Principal) -> Iterator[None]:
    """A transaction in the tenant's scope: one of a directory at a time, and by a key that still stands.

    Raises `Forbidden`, `CredentialRefused`.
    """
    require(by, Action.PROVISION)
    with tenant_scope(by.tenant_id):
        Tenant.objects.select_for_update(no_key=True).filter(id=by.tenant_id).first()
        still_stands(by)
        yield


def unique(write: Callable[[], Any]) -> None:
    """Raises `Taken` where a name is another's already: of two at once the unique index lets one through."""
    try:
        with transaction.atomic():
            write()
    except IntegrityError as error:
        if not any(name in str(error) for name in _UNIQUE):
            raise
        raise Taken("Another resource has this name.") from error


def actor_of(by: Principal) -> audit.Actor:
    """The directory, as the audit log names it: by its key, and the administrator who made that."""
    return audit.Actor.of(by)


@dataclass(frozen=True, slots=True)
class _Place:
    """The membership a new user gets, and whether it may be entered."""

    membership: Membership
    active: bool
    pending: bool = False
    made_account: bool = False


def _place(tenant_id: UUID, email: str, wanted: _Wanted) -> _Place:
    user_id = accounts.id_by_email(email)
    made = False
    if user_id is None:
        user_id, made = _account(email, provisioned.display_name(wanted.attributes, wanted.user_name))
    membership = Membership.objects.filter(tenant_id=tenant_id, user_id=user_id).first()
    if membership is not None:
        return _Place(membership, membership.suspended_at is None)
    active = wanted.active is not False
    membership = Membership(
        tenant_id=tenant_id,
        user_id=user_id,
        role=wanted.role or Role.MEMBER,
        suspended_at=None if made and active else Now(),
    )
    membership.save(force_insert=True)
    return _Place(membership, active, pending=not made, made_account=made)


def _account(email: str, name: str) -> tuple[UUID, bool]:
    """A new account that no password opens, as (id, True); where somebody was quicker, theirs."""
    try:
        user_id = account_services.insert(CheckedAccount(uuid7(), email, name, make_password(None)))
    except InvalidAccount:
        found = accounts.id_by_email(email)
        if found is None:
            raise
        return found, False
    if not EmailAddress.objects.filter(user_id=user_id).exists():
        EmailAddress.objects.create(user_id=user_id, email=email, primary=True, verified=False)
    return user_id, True


def _row(tenant_id: UUID, user_id: UUID) -> ProvisionedUser:
    row = ProvisionedUser.objects.filter(tenant_id=tenant_id, id=user_id).select_related("membership").first()
    if row is None:
        raise NotFound("There is no such user.")
    return row


def _may_handle(by: Principal, membership: Membership) -> None:
    """A directory ends and opens no more than the administrator who made its key could."""
    if membership.role == Role.OWNER and by.role != Role.OWNER:
        raise Forbidden("An owner is off-boarded and let in again by owners alone: let an owner make this key.")


def _refuse_taken(tenant_id: UUID, user_name: str) -> None:
    rows = ProvisionedUser.objects.alias(lower_name=Lower("user_name"))
    if rows.filter(tenant_id=tenant_id, lower_name=Lower(Value(user_name))).exists():
        raise Taken("Another user has this userName.")


def _write(by: Principal, row: ProvisionedUser, before: Resource, wanted: _Wanted) -> bool:
    """Whether the membership changed, and with it what the person may do."""
    if wanted.user_name.lower() != row.user_name.lower():
        _refuse_taken(by.tenant_id, wanted.user_name)
    active = row.active if wanted.active is None else wanted.active
    new = {
        "user_name": wanted.user_name,
        "external_id": wanted.external_id,
        "attributes": wanted.attributes,
        "active": active,
    }
    changed = sorted(name for name, value in new.items() if getattr(row, name) != value)
    target = ("membership", row.membership_id)
    if changed:
        rows = ProvisionedUser.objects.filter(tenant_id=by.tenant_id, id=row.id)
        unique(lambda: rows.update(**new, changed_at=Now()))
    membership = Membership.objects.filter(tenant_id=by.tenant_id, id=row.membership_id)
    returns = active and not row.pending and row.membership.suspended_at is not None and not before["active"]
    if returns:
        _may_handle(by, row.membership)
        membership.update(suspended_at=None)
        audit.record(by.tenant_id, actor_of(by), "member.readmitted", target=target, data={"user_name": row.user_name})
    role_now = row.membership.role
    promoted = wanted.role is not None and wanted.role != role_now and role_now != Role.OWNER
    if promoted:
        membership.update(role=wanted.role)
        moved = {"from": role_now, "to": wanted.role}
        audit.record(by.tenant_id, actor_of(by), "member.role_changed", target=target, data=moved)
    if changed and not returns:
        told = {"user_name": wanted.user_name, "changed": changed, "active": active}
        audit.record(by.tenant_id, actor_of(by), "member.directory_changed", target=target, data=told)
    return returns or promoted


def _role(given: Any, role_now: str) -> str | None:
    """The role meant by `roles`: the primary one, else the mightiest; None where nothing is said.

    Nobody becomes an owner by a directory's word.
    """
    if not given:
        return None
    chosen = [one for one in given if one.get("primary")] or given
    found = {str(one.get("value", "")).strip().lower().replace("-", "_").replace(" ", "_") for one in chosen}
    allowed = [role.value for role in Role if role is not Role.OWNER or role_now == Role.OWNER]
    if unknown := sorted(found.difference(allowed)):
        known = ", ".join(role.value for role in Role if role is not Role.OWNER)
        raise InvalidValue(f"There is no role {unknown[0][:80]} that a directory can give. There are: {known}.")
    return next(role for role in allowed if role in found)


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= NAME_LENGTH and is_storable(text)
