"""Whether somebody has a second factor, and whether a code proves it."""

from collections.abc import Collection
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.http import HttpRequest

from apps.accounts import rate_limits
from apps.accounts.errors import SecondFactorRefused, SecondFactorRequired

MAX_CODE = 32  # characters
_PROVING = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def has_second_factor(user_id: UUID) -> bool:
    """Whether the person set up an authenticator app or a passkey. Recovery codes alone are none."""
    return bool(Authenticator.objects.filter(user_id=user_id, type__in=_PROVING).exists())


def having_second_factor(user_ids: Collection[UUID]) -> set[UUID]:
    """Those of these people who have one."""
    rows = Authenticator.objects.filter(user_id__in=user_ids, type__in=_PROVING)
    return set(rows.values_list("user_id", flat=True))


def check_code(request: HttpRequest, user_id: UUID, code: str) -> Authenticator | None:
    """For a program's sign-in: let through who has no second factor, or whose code is right. A code works once.

    Returns what proved it (`totp`, `recovery_codes`), None for who has no second factor. Raises
    `SecondFactorRequired` for no code, `SecondFactorRefused` for a wrong one, `TooManyTries` after several of those.
    """
    if not has_second_factor(user_id):
        return None
    if not code.strip():
        raise SecondFactorRequired("This account has a second factor. Send its code as `otp`, or a recovery code.")
    rate_limits.take_code(request, user_id)
    proof = use_code(user_id, code)
    if proof is None:
        raise SecondFactorRefused("The code is wrong, too old, or was used before.")
    rate_limits.code_was_right(request, user_id)
    return proof


def use_code(user_id: UUID, code: str) -> Authenticator | None:
    """What a right code belongs to; it is used up by this. None for a wrong one. Nothing is counted here."""
    code = code.strip()
    typed = Authenticator.objects.filter(user_id=user_id).exclude(type=Authenticator.Type.WEBAUTHN)
    for one in typed.select_related("user") if 0 < len(code) <= MAX_CODE else ():
        if one.wrap().validate_code(code):
            return one
    return None
