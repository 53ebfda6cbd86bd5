"""Leaving, the address that mail goes to, and where somebody is signed in."""

import re
from collections.abc import Callable
from functools import wraps
from typing import cast
from uuid import UUID

from allauth.account.views import EmailView, password_reset_from_key
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts import browsers
from apps.accounts.models import User
from apps.accounts.second_factor import has_second_factor

_PERSON = re.compile(r"[0-9a-f]{32}")
_NOBODY = "0" * 32


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, whoever's it is."""
    auth.logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


@login_required
@require_http_methods(["GET", "POST"])
def address(request: HttpRequest) -> HttpResponse:
    """The e-mail address, and another in its place once a link sent there was opened."""
    if request.method == "POST" and not settings.MAIL_IS_CONFIGURED:
        messages.error(request, "This installation sends no mail, so no address can be shown to be yours.")
        return redirect("account_email")
    context = {"mails": settings.MAIL_IS_CONFIGURED}
    response: HttpResponse = EmailView.as_view(extra_context=context)(request)
    return response


def reset_password(request: HttpRequest, uidb36: str, key: str) -> HttpResponse:
    """Choose a password by a mailed link. allauth breaks over what is no person's id: it is told as one of nobody."""
    person = uidb36 if _PERSON.fullmatch(uidb36) else _NOBODY
    response: HttpResponse = password_reset_from_key(request, uidb36=person, key=key)
    return response


def set_up_once_by_operators(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Guards a page that changes second factors: an operator's is changed in the administration, once there is one.

    The database holds to it whatever a page does.
    """

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        user = request.user
        if user.is_authenticated and user.is_staff and request.method == "POST" and has_second_factor(user.pk):
            messages.error(
                request, "An operator's second factor is taken away in the administration; then set up another here."
            )
            return redirect("mfa_index")
        return view(request, *args, **kwargs)

    return guarded


@login_required
@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    """Where the person is signed in."""
    found = browsers.sessions_of(_own_id(request), request.session.session_key)
    return render(request, "accounts/sessions.html", {"sessions": found})


@login_required
@require_POST
def end_session(request: HttpRequest, session_id: int) -> HttpResponse:
    """End one of the person's other sessions. Somebody else's is not there."""
    if _end(request, [session_id]):
        messages.success(request, "That browser is signed out.")
    else:
        messages.error(request, "That session has ended already.")
    return redirect("usersessions_list")


@login_required
@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """End all of the person's sessions but this one."""
    ended = _end(request, None)
    messages.success(request, f"Signed out in {ended} other browser{'s' if ended != 1 else ''}.")
    return redirect("usersessions_list")


def _end(request: HttpRequest, ids: list[int] | None) -> int:
    ended = browsers.end(_own_id(request), ids, but=request.session.session_key)
    if ended:
        browsers.ended_from_list.send(sender=UserSession, user=request.user, sessions=ended)
    return ended


def _own_id(request: HttpRequest) -> UUID:
    """Of somebody who is signed in."""
    return cast("User", request.user).id


# What `apps.tenants.policy.public` says of views above this app.
_DECLARED: dict[Callable[..., HttpResponse], str] = {
    sign_out: "ends whoever's session it is",
    reset_password: "the link's secret is the credential",
    **dict.fromkeys((address, sessions, end_session, end_other_sessions), "everybody's own, whatever their role"),
}
for _view, _reason in _DECLARED.items():
    _view.public_because = _reason  # type: ignore[attr-defined]
