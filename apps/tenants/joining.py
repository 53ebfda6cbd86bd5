"""A person's own word on a tenant whose directory has named them: until they give it, they may not enter.

The account must be proven to be the address's: otherwise whoever made an account with somebody's address could enter
what is meant for them.
"""

from uuid import UUID

from allauth.account.models import EmailAddress
from django.db.models.functions import Now

from apps.problems import Forbidden
from apps.tenants import audit, epochs, provisioned
from apps.tenants.contracts import MembershipSummary, Principal
from apps.tenants.errors import NotFound
from apps.tenants.models import Membership, ProvisionedUser, Tenant
from apps.tenants.scope import own_scope, tenant_scope

_MOST = 50


def waiting_for(principal: Principal) -> list[MembershipSummary]:
    """The tenants whose directories have named the caller, and which they have not agreed to enter."""
    with own_scope(principal.user_id):
        rows = Membership.objects.filter(user_id=principal.user_id, suspended_at__isnull=False)
        rows = rows.filter(tenant__status=Tenant.Status.ACTIVE, tenant__deleted_at=None).select_related("tenant")
        found = list(rows.order_by("created_at", "id")[:_MOST])
    return [
        MembershipSummary(row.tenant_id, row.tenant.name, row.tenant.slug, row.role)
        for row in found
        if _is_waiting(principal.user_id, row.tenant_id)
    ]


def agree(principal: Principal, tenant_id: UUID) -> None:
    """Enter a tenant that waits for the caller. Raises `NotFound`, `Forbidden` for an address that is not proven."""
    addresses = EmailAddress.objects.filter(user_id=principal.user_id, email__iexact=principal.user_email)
    if not addresses.filter(verified=True).exists():
        raise Forbidden("Confirm your e-mail address first: the workspace waits for whoever it belongs to.")
    with tenant_scope(tenant_id, user_id=principal.user_id):
        Tenant.objects.select_for_update(no_key=True).filter(id=tenant_id).first()
        row = ProvisionedUser.objects.filter(
            tenant_id=tenant_id, membership__user_id=principal.user_id, pending=True, active=True
        ).first()
        if row is None:
            raise NotFound("No workspace of this kind waits for you.")
        clear(tenant_id, row.membership_id)
        Membership.objects.filter(tenant_id=tenant_id, id=row.membership_id).update(suspended_at=None)
        audit.record(
            tenant_id,
            audit.Actor.of(principal),
            "member.joined",
            target=("membership", row.membership_id),
            data={"user_name": row.user_name},
        )
    epochs.rights_changed(tenant_id, principal.user_id)


def is_pending(tenant_id: UUID, membership_id: UUID) -> bool:
    """Within the tenant's scope: whether nobody but the person can open this membership."""
    return ProvisionedUser.objects.filter(tenant_id=tenant_id, membership_id=membership_id, pending=True).exists()


def is_awaited(membership: Membership) -> bool:
    """Whether somebody named by the directory has not come yet; `membership` with its user and provisioned row.

    Whether their account was made for it or was there before is nobody's business here, and looks the same.
    """
    row: ProvisionedUser | None = getattr(membership, "provisioned", None)
    if row is None or not row.active:
        return False
    return row.pending or (row.made_account and membership.user.last_login is None)


def shown_name(membership: Membership) -> str:
    """What a member is called here: of somebody awaited only what the directory says is told."""
    row: ProvisionedUser | None = getattr(membership, "provisioned", None)
    if row is None or not row.pending:
        return membership.user.name
    return provisioned.display_name(row.attributes, row.user_name)


def clear(tenant_id: UUID, membership_id: UUID) -> None:
    """Within the tenant's scope: the person has agreed, here or by an invitation of their own."""
    rows = ProvisionedUser.objects.filter(tenant_id=tenant_id, membership_id=membership_id, pending=True)
    rows.update(pending=False, active=True, changed_at=Now())


def _is_waiting(user_id: UUID, tenant_id: UUID) -> bool:
    with tenant_scope(tenant_id, user_id=user_id):
        return ProvisionedUser.objects.filter(
            tenant_id=tenant_id, membership__user_id=user_id, pending=True, active=True
        ).exists()
