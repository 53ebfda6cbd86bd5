"""Passkeys: what allauth leaves open about them.

It tells nobody of a passkey that was refused, believes any origin where the installation is reached without TLS, and
does not compare counters. Here the origin is the installation's own, and a counter that does not rise is a copy's.
"""

from typing import Any
from urllib.parse import urlsplit

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal import auth
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.dispatch import Signal
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity

_COUNTER = "sign_count"
_LOOPBACK = {"127.0.0.1", "localhost"}

# A passkey of a known person was refused. Arguments: user.
refused = Signal()

_complete = auth.complete_authentication


def use_own_rules() -> None:
    """Put these rules in the place of allauth's. Called once, when the apps are ready."""
    auth.get_server = _server
    auth.complete_authentication = _complete_authentication


def is_our_origin(origin: str) -> bool:
    """Whether a browser made the proof on a page of this installation. Loopback has several names."""
    own = urlsplit(settings.BASE_URL)
    hosts = _LOOPBACK if own.hostname in _LOOPBACK else {own.hostname}
    port = f":{own.port}" if own.port else ""
    return origin in {f"{own.scheme}://{host}{port}" for host in hosts}


def _server() -> Fido2Server:
    entity = PublicKeyCredentialRpEntity(**get_adapter().get_public_key_credential_rp_entity())
    return Fido2Server(entity, verify_origin=is_our_origin)


def _complete_authentication(user: Any, response: dict[str, Any]) -> Authenticator:
    try:
        authenticator: Authenticator = _complete(user, response)
        counter = auth.parse_authentication_response(response).response.authenticator_data.counter
        if not _rises(authenticator, counter):
            raise get_adapter().validation_error("incorrect_code")
    except ValidationError:
        refused.send(sender=Authenticator, user=user)
        raise
    return authenticator


def _rises(authenticator: Authenticator, counter: int) -> bool:
    """Passkeys that several devices share always say 0; every other one counts its proofs."""
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        last = row.data.get(_COUNTER)
        if last is None:
            last = row.wrap().authenticator_data.counter
        if (counter or last) and counter <= last:
            return False
        row.data[_COUNTER] = counter
        row.save(update_fields=["data"])
    authenticator.data = row.data
    return True
