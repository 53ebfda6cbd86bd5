"""From a proven password to a session: allauth's stages (address, second factor), then the tenant to work in."""

from typing import Any
from uuid import UUID

from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.mfa.base.internal.flows import post_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.stages import AuthenticateStage
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase

from apps.accounts.second_factor import has_second_factor
from apps.tenants import audit, selectors
from apps.tenants.contracts import SESSION_ARRIVING, SESSION_TENANT
from apps.tenants.scope import tenant_scope

_WANTED = "wanted_tenant_id"  # kept while a second factor is asked for


def enter(
    request: HttpRequest, user: Any, tenant_id: UUID, target: str, factor: Authenticator | None = None
) -> HttpResponseBase:
    """Sign a person in whose password was right, and send them on to `target`, after whatever is still to be shown.

    `factor` is the second factor of which they have given a code already.
    """
    request.session[_WANTED] = str(tenant_id)
    stages = {AuthenticateStage.key: {"handled": True}} if factor is not None else {}
    login = Login(user=user, redirect_url=target, email=user.email, state={"stages": stages})
    # Setting a second factor up within minutes need not ask for the password again. Whoever has one is asked: it is
    # what a password alone must not take away.
    fresh = None if has_second_factor(user.pk) else True
    record_authentication(request, user, "password", email=user.email, reauthenticated=fresh)
    if factor is not None:
        post_authentication(request, factor)
    response: HttpResponseBase = perform_login(request, login)
    return response


@receiver(user_logged_in, dispatch_uid="apps.tenants.edge.entering")
def _choose_tenant(sender: Any, request: HttpRequest | None, user: Any, **_: Any) -> None:
    """Whichever way somebody came in, the session works in one tenant of theirs; it is noted there."""
    if request is None or not hasattr(request, "session"):
        return
    wanted = request.session.pop(_WANTED, None)
    if SESSION_TENANT in request.session or SESSION_ARRIVING in request.session:  # a company's sign-in says where
        return
    principal = selectors.principal_for(user.pk, UUID(wanted)) if wanted else None
    principal = principal or selectors.principal_for(user.pk)
    if principal is None:
        return
    request.session[SESSION_TENANT] = str(principal.tenant_id)
    with tenant_scope(principal.tenant_id):
        audit.record(principal.tenant_id, audit.Actor.of(principal), "session.opened", target=("user", user.pk))
