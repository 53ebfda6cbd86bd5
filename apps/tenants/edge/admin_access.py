"""Who opens an administration shows a second factor: has one, and has used it lately in this session.

Without one they are led to set it up; with one that was not used lately, to use it again.
"""

import time
from typing import Any, cast
from urllib.parse import urlencode

from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.accounts import known_devices
from apps.accounts.models import User

SECOND_FACTOR = "mfa"  # how allauth calls it in a session's records
_TYPED = [Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES]


def second_factor_first(request: HttpRequest) -> HttpResponse | None:
    """Where a signed-in person must go before the administration opens; None where they may enter."""
    if not settings.ADMIN_SECOND_FACTOR or shown_lately(request):
        return None
    user = cast(User, request.user)
    if not is_mfa_enabled(user):
        messages.info(
            request, f"The administration asks for a second factor. Set one up, then open {request.path} again."
        )
        return HttpResponseRedirect(reverse("mfa_index"))
    # What was posted is not kept: the page is opened anew.
    back = request.get_full_path() if request.method in ("GET", "HEAD") else request.path
    by_code = is_mfa_enabled(user, types=_TYPED)
    page = reverse("mfa_reauthenticate" if by_code else "mfa_reauthenticate_webauthn")
    return HttpResponseRedirect(f"{page}?{urlencode({REDIRECT_FIELD_NAME: back})}")


def shown_lately(request: HttpRequest) -> bool:
    """Whether this session's person used a second factor within `ADMIN_SECOND_FACTOR_SECONDS`, and still has one."""
    user = cast(User, request.user)
    shown = [one["at"] for one in get_authentication_records(request, user) if one.get("method") == SECOND_FACTOR]
    if not shown or time.time() - max(shown) >= settings.ADMIN_SECOND_FACTOR_SECONDS:
        return False
    return bool(is_mfa_enabled(user))


def note_password(request: HttpRequest, response: HttpResponse) -> None:
    """Somebody signed in on the administration's own page: what follows need not ask for the password once more.

    The device is one of theirs, which strangers' guesses do not lock out.
    """
    known_devices.remember(request, response, cast(User, request.user).pk)
    record_authentication(request, cast(User, request.user), method="password", reauthenticated=True)


@receiver(authenticator_added, dispatch_uid="apps.tenants.edge.admin_access")
def _set_up(sender: Any, request: HttpRequest, user: User, authenticator: Authenticator, **kwargs: Any) -> None:
    """Whoever has just set a second factor up has shown it by that."""
    if authenticator.type != Authenticator.Type.RECOVERY_CODES:
        record_authentication(request, user, SECOND_FACTOR, id=authenticator.pk, type=authenticator.type)
