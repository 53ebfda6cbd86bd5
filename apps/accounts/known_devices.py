"""A signed cookie says that a person has signed in on a device before: what strangers try does not lock it out."""

from uuid import UUID

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase
from uuid6 import uuid7

_SALT = "switchboard.known_device"
_LIFE_SECONDS = 365 * 86_400
_PEOPLE = 5  # who are remembered on one device, the last first


def device_of(request: HttpRequest, user_id: UUID) -> str | None:
    """The device's own id, if this person has signed in on it."""
    device, people = _read(request)
    return device if str(user_id) in people else None


def remember(request: HttpRequest, response: HttpResponseBase, user_id: UUID) -> None:
    device, people = _read(request)
    people = [str(user_id), *(one for one in people if one != str(user_id))][:_PEOPLE]
    value = signing.dumps([device or uuid7().hex, people], salt=_SALT)
    response.set_cookie(
        _name(), value, max_age=_LIFE_SECONDS, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax"
    )


def _name() -> str:
    return "__Host-device" if settings.SESSION_COOKIE_SECURE else "device"


def _read(request: HttpRequest) -> tuple[str, list[str]]:
    try:
        device, people = signing.loads(request.COOKIES.get(_name(), ""), salt=_SALT, max_age=_LIFE_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return "", []
    return device, people
