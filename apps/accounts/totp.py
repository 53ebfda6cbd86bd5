"""Codes of authenticator apps: a step late or early is accepted, and each code once (RFC 6238, section 5.2).

allauth remembers a used code in the cache, for one step: accepting neighbours of the step would let a code in again,
and so would a cache that lost it. Here the row itself keeps the last step that was used, and only later ones count.
"""

import time
from typing import Any

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.mfa.totp.internal import auth
from allauth.mfa.utils import decrypt
from django.db import transaction
from django.http import HttpRequest

_LAST = "last_step"


def use_own_rules() -> None:
    """Put these rules in the place of allauth's. Called once, when the apps are ready."""
    auth.TOTP.validate_code = _validate_code
    authenticator_added.connect(_remember_the_first, dispatch_uid="totp")


def step_of(secret: str, code: str) -> int | None:
    """The step in time, among now and its neighbours, at which an app with this secret shows the code."""
    now = int(time.time()) // app_settings.TOTP_PERIOD
    for step in range(now - app_settings.TOTP_TOLERANCE, now + app_settings.TOTP_TOLERANCE + 1):
        if compare_user_code(actual=code, expected=auth.format_hotp_value(auth.hotp_value(secret, step))):
            return step
    return None


def _validate_code(self: auth.TOTP, code: str) -> bool:
    step = step_of(decrypt(self.instance.data["secret"]), code)
    return step is not None and _use(self.instance, step)


def _use(authenticator: Authenticator, step: int) -> bool:
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        if step <= row.data.get(_LAST, 0):
            return False
        row.data[_LAST] = step
        row.save(update_fields=["data"])
    authenticator.data = row.data
    return True


def _remember_the_first(request: HttpRequest, authenticator: Authenticator, **_kwargs: Any) -> None:
    """The code that proved a new app is used up too."""
    if authenticator.type == Authenticator.Type.TOTP:
        step = step_of(decrypt(authenticator.data["secret"]), request.POST.get("code", ""))
        if step is not None:
            _use(authenticator, step)
