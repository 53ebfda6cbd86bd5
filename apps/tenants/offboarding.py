"""Somebody leaves a tenant: everything that would let them on ends in one transaction, and other tenants see nothing.

What they wrote and spent stays with the tenant. What must end above this app (answers under way) is ended by handlers
that the app registers when it is loaded.
"""

from collections.abc import Callable
from importlib import import_module
from uuid import UUID

import structlog
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Q
from django.db.models.functions import Now

from apps.problems import Conflict
from apps.tenants import api_keys, audit, epochs, selectors, token_families
from apps.tenants.contracts import OffBoarded, Principal, tenant_of_session
from apps.tenants.errors import NotFound
from apps.tenants.models import ApiKey, Invitation, Membership, Tenant
from apps.tenants.policy import Action, require
from apps.tenants.scope import tenant_scope

# Called in the transaction, with the tenant's and the person's id. Returns how many things it ended, and what is to
# be done after the commit.
LeaveHandler = Callable[[UUID, UUID], tuple[int, Callable[[], None]]]

_handlers: list[LeaveHandler] = []

log = structlog.get_logger(__name__)


class LastOwner(Conflict):
    """A tenant is never left without an active owner."""

    code = "last_owner"


def when_somebody_leaves(handler: LeaveHandler) -> None:
    """Register what an upper app ends; call it once, from `AppConfig.ready`."""
    _handlers.append(handler)


def offboard(by: Principal | audit.Actor, membership_id: UUID) -> OffBoarded:
    """Suspend a membership and end all that rests on it: keys, programs' sign-ins, sessions, answers under way.

    `by` is a member who may manage members, or the person themself; or an operator, a directory or a command, as an
    actor, for any tenant. Repeating it ends what has come up since, and changes nothing else.
    Raises `NotFound`, `Forbidden`, `LastOwner`.
    """
    if isinstance(by, Principal):
        tenant_id, actor = by.tenant_id, audit.Actor.of(by)
    else:
        tenant_id, actor = _tenant_of(membership_id), by
    with tenant_scope(tenant_id):
        # One at a time per tenant, so that of two owners who leave at once one stays.
        Tenant.objects.select_for_update(no_key=True).filter(id=tenant_id).first()
        membership = Membership.objects.select_for_update().filter(tenant_id=tenant_id, id=membership_id).first()
        if membership is None:
            raise NotFound("There is no such member.")
        if isinstance(by, Principal) and membership.user_id != by.user_id:
            require(by, Action.MEMBERS_MANAGE)
        ended, digests, afterwards = _end_everything(membership)
        audit.record(
            tenant_id,
            actor,
            "member.left" if isinstance(by, Principal) and membership.user_id == by.user_id else "member.off_boarded",
            target=("membership", membership_id),
            data={
                "user_id": membership.user_id,
                "keys": ended.keys,
                "token_families": ended.token_families,
                "sessions": ended.sessions,
                "answers": ended.answers,
            },
        )
    for digest in digests:
        selectors.forget_api_key(digest)
    for after in afterwards:
        after()
    epochs.rights_changed(tenant_id, membership.user_id)
    log.info("member.off_boarded", membership_id=str(membership_id), keys=ended.keys, answers=ended.answers)
    return ended


def _tenant_of(membership_id: UUID) -> UUID:
    tenant_id = Membership.objects.using("engine").filter(id=membership_id).values_list("tenant_id", flat=True).first()
    if tenant_id is None:
        raise NotFound("There is no such member.")
    return tenant_id


def _end_everything(membership: Membership) -> tuple[OffBoarded, list[bytes], list[Callable[[], None]]]:
    """Within the transaction, and with the membership locked: whoever would accept something for it waits."""
    tenant_id, user_id = membership.tenant_id, membership.user_id
    token_families_ended = token_families.revoke_in_tenant(tenant_id, user_id)
    keys = ApiKey.objects.filter(tenant_id=tenant_id, user_id=user_id, revoked_at=None)
    ended_keys = list(keys)
    digests = api_keys.digests_of(ended_keys)
    keys.update(revoked_at=Now())
    _close_ways_back(membership)
    if membership.suspended_at is None:
        keep_an_owner(membership)
        Membership.objects.filter(tenant_id=tenant_id, id=membership.id).update(suspended_at=Now())
    handled = [handler(tenant_id, user_id) for handler in _handlers]
    ended = OffBoarded(
        keys=len(ended_keys),
        token_families=token_families_ended,
        sessions=_end_sessions(tenant_id, user_id),
        answers=sum(count for count, _after in handled),
    )
    return ended, digests, [after for _count, after in handled]


def _close_ways_back(membership: Membership) -> None:
    """Withdraw open invitations for the person, and by the person: one may lead to another address of theirs."""
    theirs = Q(invited_by_id=membership.user_id) | Q(email__iexact=membership.user.email)
    still_open = Invitation.objects.filter(theirs, tenant_id=membership.tenant_id, accepted_at=None, revoked_at=None)
    still_open.update(revoked_at=Now())


def keep_an_owner(membership: Membership) -> None:
    """Demands the tenant's transaction. Raises `LastOwner` where nobody else could own the tenant."""
    if membership.role != Membership.Role.OWNER:
        return
    owners = Membership.objects.filter(
        tenant_id=membership.tenant_id, role=Membership.Role.OWNER, suspended_at=None, user__is_active=True
    )
    if not owners.exclude(id=membership.id).exists():
        raise LastOwner("This is the organisation's last owner. Make somebody else an owner first.")


def _end_sessions(tenant_id: UUID, user_id: UUID) -> int:
    """Sign the person's browsers out that work in this tenant, or name none. Those of other tenants stay."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    keys = list(UserSession.objects.filter(user_id=user_id).values_list("session_key", flat=True))
    ended = 0
    for session in Session.objects.filter(session_key__in=keys):
        if tenant_of_session(store().decode(session.session_data)) in (tenant_id, None):
            store(session.session_key).delete()
            UserSession.objects.filter(session_key=session.session_key).delete()
            ended += 1
    return ended
