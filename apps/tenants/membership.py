"""Who belongs to a tenant, and as what: members, invitations, and the hand-over of ownership.

Rank decides what the policy leaves open: nobody makes or changes somebody above themself, nobody changes their own
role, and an organisation keeps an owner.
"""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q
from django.db.models.functions import Now

from apps.accounts import second_factor
from apps.accounts import selectors as accounts
from apps.accounts import services as account_services
from apps.accounts.contracts import is_storable
from apps.problems import Conflict, Forbidden
from apps.tenants import audit, epochs, joining, offboarding
from apps.tenants.contracts import InvitationSummary, MemberSummary, NewInvitation, OpenInvitation, Principal
from apps.tenants.errors import InvalidInvitation, InvalidTenant, NotFound
from apps.tenants.models import Invitation, Membership, Tenant
from apps.tenants.policy import Action, Role, require
from apps.tenants.scope import tenant_scope
from apps.vault import keyed_digest

INVITATION_DAYS = 7
MAX_OPEN_INVITATIONS = 500
_MAX_SECRET = 200
_RANKS = {role: rank for rank, role in enumerate(reversed(Role))}


def members(principal: Principal) -> list[MemberSummary]:
    """Everybody who belongs to the tenant, suspended ones too, by name."""
    with tenant_scope(principal.tenant_id):
        rows = list(Membership.objects.filter(tenant_id=principal.tenant_id).select_related("user", "provisioned"))
        protected = second_factor.having_second_factor([row.user_id for row in rows])
        found = [
            MemberSummary(
                id=row.id,
                user_id=row.user_id,
                name=joining.shown_name(row),
                email=row.user.email,
                role=row.role,
                joined_at=row.created_at,
                suspended_at=None if joining.is_awaited(row) else row.suspended_at,
                is_awaited=joining.is_awaited(row),
                is_you=row.user_id == principal.user_id,
                has_second_factor=row.user_id in protected,
            )
            for row in rows
        ]
    return sorted(found, key=lambda member: (member.suspended_at is not None, member.name.lower(), member.email))


def change_role(principal: Principal, membership_id: UUID, role: str) -> str:
    """Give a member another role; returns the earlier one. Raises `NotFound`, `Forbidden`, `offboarding.LastOwner`."""
    require(principal, Action.MEMBERS_MANAGE)
    with tenant_scope(principal.tenant_id):
        membership = _locked(principal, membership_id)
        _may_handle(principal, membership)
        _may_give(principal, role)
        if membership.role == role:
            return role
        if membership.suspended_at is None:
            offboarding.keep_an_owner(membership)
        earlier, membership.role = membership.role, role
        membership.save(update_fields=["role"])
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "member.role_changed",
            target=("membership", membership.id),
            data={"user_id": membership.user_id, "from": earlier, "to": role},
        )
    epochs.rights_changed(principal.tenant_id, membership.user_id)
    return earlier


def suspend(principal: Principal, membership_id: UUID) -> None:
    """Off-board a member; what they wrote and spent stays. Raises `NotFound`, `Forbidden`, `offboarding.LastOwner`."""
    require(principal, Action.MEMBERS_MANAGE)
    with tenant_scope(principal.tenant_id):
        _may_handle(principal, _locked(principal, membership_id))
    offboarding.offboard(principal, membership_id)


def leave(principal: Principal, confirmation: str) -> None:
    """Leave the tenant oneself; all that rests on it ends. `confirmation` is the tenant's name, typed again.

    Raises `InvalidTenant`, `offboarding.LastOwner`.
    """
    _confirmed(principal, confirmation, "You are still a member.")
    with tenant_scope(principal.tenant_id):
        own = Membership.objects.get(tenant_id=principal.tenant_id, user_id=principal.user_id)
    offboarding.offboard(principal, own.id)


def reactivate(principal: Principal, membership_id: UUID) -> None:
    """Let a suspended member in again, in the role they had. Raises `NotFound`, `Forbidden`."""
    require(principal, Action.MEMBERS_MANAGE)
    with tenant_scope(principal.tenant_id):
        membership = _locked(principal, membership_id)
        _may_handle(principal, membership)
        if membership.suspended_at is None:
            return
        if joining.is_pending(principal.tenant_id, membership.id):
            raise Conflict("This person has not come yet. They enter by their own sign-in.")
        membership.suspended_at = None
        membership.save(update_fields=["suspended_at"])
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "member.reactivated",
            target=("membership", membership.id),
            data={"user_id": membership.user_id, "role": membership.role},
        )


def transfer(principal: Principal, membership_id: UUID, confirmation: str) -> None:
    """Make another member the owner and oneself an administrator. `confirmation` is the tenant's name, typed again.

    Raises `Forbidden`, `NotFound`, `InvalidTenant`.
    """
    require(principal, Action.TENANT_TRANSFER)
    _confirmed(principal, confirmation, "The workspace was not handed over.")
    with tenant_scope(principal.tenant_id):
        heir = _locked(principal, membership_id)
        own = Membership.objects.select_for_update().get(tenant_id=principal.tenant_id, user_id=principal.user_id)
        if own.id == heir.id:
            raise Forbidden("This is you. Choose another member.")
        if own.role != Role.OWNER:
            raise Forbidden("Only an owner hands a workspace over.")
        if heir.suspended_at is not None or not heir.user.is_active:
            raise Forbidden("This member is suspended. Choose one who may enter.")
        heir.role, own.role = Role.OWNER, Role.ADMIN
        heir.save(update_fields=["role"])
        own.save(update_fields=["role"])
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "tenant.transferred",
            target=("membership", heir.id),
            data={"to": heir.user_id, "from": own.user_id},
        )
    for user_id in (heir.user_id, own.user_id):
        epochs.rights_changed(principal.tenant_id, user_id)


def invitations(principal: Principal) -> list[InvitationSummary]:
    """The tenant's open invitations, the newest first."""
    require(principal, Action.MEMBERS_MANAGE)
    with tenant_scope(principal.tenant_id):
        rows = Invitation.objects.filter(_open(), tenant_id=principal.tenant_id).select_related("invited_by")
        return [
            InvitationSummary(row.id, row.email, row.role, row.invited_by.name, row.created_at, row.expires_at)
            for row in rows.order_by("-created_at", "-id")
        ]


def invite(principal: Principal, email: str, role: str) -> NewInvitation:
    """Open a door for one e-mail address, for a week; an earlier one for the same address is closed.

    The secret is in the answer and nowhere else. Raises `Forbidden`, `InvalidInvitation`.
    """
    require(principal, Action.MEMBERS_MANAGE)
    _may_give(principal, role)
    email = _checked(email)
    account_id = accounts.id_by_email(email)
    secret = secrets.token_urlsafe(32)
    with tenant_scope(principal.tenant_id):
        Tenant.objects.select_for_update(no_key=True).get(id=principal.tenant_id)
        inside = Membership.objects.filter(tenant_id=principal.tenant_id, suspended_at=None)
        if account_id is not None and inside.filter(user_id=account_id).exists():
            raise InvalidInvitation("Nobody was invited.", fields={"email": ["This person is a member already."]})
        still_open = Invitation.objects.filter(_open(), tenant_id=principal.tenant_id)
        still_open.filter(email=email).update(revoked_at=Now())
        if still_open.count() >= MAX_OPEN_INVITATIONS:
            raise InvalidInvitation(f"There are {MAX_OPEN_INVITATIONS} open invitations. Withdraw some first.")
        row = Invitation(
            tenant_id=principal.tenant_id,
            email=email,
            role=role,
            digest=_digest(secret),
            invited_by_id=principal.user_id,
            expires_at=datetime.now(UTC) + timedelta(days=INVITATION_DAYS),
        )
        row.save(force_insert=True)
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "invitation.sent",
            target=("invitation", row.id),
            data={"email": email, "role": role},
        )
    return NewInvitation(row.id, email, role, row.expires_at, secret)


def renew_invitation(principal: Principal, invitation_id: UUID) -> NewInvitation:
    """A new secret and another week for an invitation; the old link is dead. Raises `NotFound`, `Forbidden`."""
    require(principal, Action.MEMBERS_MANAGE)
    with tenant_scope(principal.tenant_id):
        row = Invitation.objects.filter(tenant_id=principal.tenant_id, id=invitation_id, accepted_at=None).first()
    if row is None:
        raise NotFound("There is no such invitation.")
    return invite(principal, row.email, row.role)


def withdraw_invitation(principal: Principal, invitation_id: UUID) -> None:
    """Close an invitation's door. Raises `NotFound`."""
    require(principal, Action.MEMBERS_MANAGE)
    with tenant_scope(principal.tenant_id):
        rows = Invitation.objects.filter(_open(), tenant_id=principal.tenant_id, id=invitation_id)
        if not rows.update(revoked_at=Now()):
            raise NotFound("There is no such invitation.")
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "invitation.withdrawn",
            target=("invitation", invitation_id),
        )


def open_invitation(secret: str) -> OpenInvitation | None:
    """What a link's secret opens; None for one that is unknown, used, withdrawn or too old."""
    if not secret or len(secret) > _MAX_SECRET or not secret.isascii():
        return None
    rows = Invitation.objects.using("engine").filter(
        _open(), digest=_digest(secret), tenant__status=Tenant.Status.ACTIVE, tenant__deleted_at=None
    )
    row = rows.select_related("tenant").first()
    if row is None:
        return None
    known = accounts.id_by_email(row.email) is not None
    return OpenInvitation(row.id, row.tenant_id, row.tenant.name, row.email, row.role, known)


def accept(user_id: UUID, email: str, secret: str) -> UUID:
    """Enter by an invitation as an existing person; returns the tenant. Raises `NotFound`, `Forbidden`."""
    found = _found(secret)
    if email.lower() != found.email:
        raise Forbidden(f"This invitation is for {found.email}. Sign in with that address to accept it.")
    with tenant_scope(found.tenant_id, user_id=user_id):
        _use(found, user_id)
    return found.tenant_id


def accept_with_new_account(secret: str, name: str, password: str) -> tuple[UUID, UUID]:
    """Make the account that an invitation names, and enter with it; both or neither. Returns (user, tenant).

    Raises `NotFound`, `accounts.errors.InvalidAccount`.
    """
    found = _found(secret)
    account = account_services.check(found.email, name, password)
    with tenant_scope(found.tenant_id, user_id=account.id):
        account_services.insert(account)
        _use(found, account.id)
    return account.id, found.tenant_id


def _found(secret: str) -> OpenInvitation:
    found = open_invitation(secret)
    if found is None:
        raise NotFound("This invitation was used, withdrawn, or is too old. Ask for a new one.")
    return found


def _use(found: OpenInvitation, user_id: UUID) -> None:
    """In the tenant's transaction: use the invitation up and write the membership. Of two at once, one succeeds."""
    if not Invitation.objects.filter(_open(), id=found.id).update(accepted_at=Now()):
        raise NotFound("This invitation was used, withdrawn, or is too old. Ask for a new one.")
    membership, is_new = Membership.objects.select_for_update().get_or_create(
        tenant_id=found.tenant_id, user_id=user_id, defaults={"role": found.role}
    )
    if not is_new and membership.suspended_at is not None:
        joining.clear(found.tenant_id, membership.id)
        membership.role, membership.suspended_at = found.role, None
        membership.save(update_fields=["role", "suspended_at"])
    audit.record(
        found.tenant_id,
        audit.Actor(user_id, found.email, "session"),
        "member.joined",
        target=("membership", membership.id),
        data={"invitation": found.id, "role": membership.role},
    )


def _confirmed(principal: Principal, confirmation: str, otherwise: str) -> None:
    if confirmation.strip() != principal.tenant_name:
        message = "Type the name of the workspace exactly as it is shown."
        raise InvalidTenant(otherwise, fields={"confirmation": [message]})


def _locked(principal: Principal, membership_id: UUID) -> Membership:
    """The tenant's member, locked; changes of one tenant's members come one after the other."""
    Tenant.objects.select_for_update(no_key=True).get(id=principal.tenant_id)
    rows = Membership.objects.select_for_update(of=("self",)).select_related("user")
    row = rows.filter(tenant_id=principal.tenant_id, id=membership_id).first()
    if row is None:
        raise NotFound("There is no such member.")
    return row


def _may_handle(principal: Principal, membership: Membership) -> None:
    if membership.user_id == principal.user_id:
        raise Forbidden("This is you. Somebody else has to change what you are here.")
    if _rank(membership.role) > _rank(principal.role):
        raise Forbidden("An owner is changed by owners alone.")


def _may_give(principal: Principal, role: str) -> None:
    if role not in set(Role):
        raise InvalidInvitation("There is no such role.", fields={"role": [f"Choose one of: {', '.join(Role)}."]})
    if _rank(role) > _rank(principal.role):
        raise Forbidden("You cannot give a role above your own.")


def _rank(role: str) -> int:
    return _RANKS.get(Role(role), -1)


def _checked(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        email = ""
    if not email or len(email) > 254 or not is_storable(email):
        raise InvalidInvitation("Nobody was invited.", fields={"email": ["Enter a valid email address."]})
    return email


def _open() -> Q:
    return Q(accepted_at=None, revoked_at=None, expires_at__gt=Now())


def _digest(secret: str) -> bytes:
    return keyed_digest(settings.ENV.api_key_pepper.get_secret_value(), f"invitation:{secret}")
