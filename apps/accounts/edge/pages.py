"""Leaving."""

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session, whoever's it is."""
    auth.logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL)


# What `apps.tenants.policy.public` says of views above this app.
sign_out.public_because = "ends whoever's session it is"  # type: ignore[attr-defined]
