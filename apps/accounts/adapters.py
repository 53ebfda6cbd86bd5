"""What allauth asks of us: how its pages and mails behave, and how second factors are kept."""

from functools import lru_cache
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase

from apps.accounts import known_devices
from apps.vault import SealedColumn, Vault, register


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Signing up happens on the product's own page, which opens a workspace, and nowhere else."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The peer; a server on a socket file names none."""
        return request.META.get("REMOTE_ADDR") or "0.0.0.0"  # noqa: S104 - nobody's address, not one to listen on

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponseBase:
        """Whichever way somebody came in, this device is one of theirs from now on."""
        response: HttpResponseBase = super().post_login(request, user, **kwargs)
        known_devices.remember(request, response, user.pk)
        return response

    def set_password(self, user: Any, password: str) -> None:
        """An operator's is changed in the administration alone."""
        if user.is_staff:
            raise PermissionDenied
        user.set_password(password)
        user.save(update_fields=["password"])

    def send_notification_mail(self, template_prefix: str, user: Any, *args: Any, **kwargs: Any) -> None:
        """After the change that it tells of is kept. A mail server that is away undoes no change, and hides none."""
        send = super().send_notification_mail
        transaction.on_commit(lambda: send(template_prefix, user, *args, **kwargs), robust=True)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        if settings.MAIL_IS_CONFIGURED:
            super().send_mail(template_prefix, email, context)


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # allauth ships no types
    """Second factors' secrets are sealed under the installation's keys."""

    def get_totp_issuer(self) -> str:
        return "Switchboard"

    def generate_authenticator_name(self, user: Any, type: Any) -> str:
        taken = user.authenticator_set.filter(type=type).count()
        return f"Passkey {taken + 1}" if taken else "Passkey"

    def encrypt(self, text: str) -> str:
        return _vault().seal(text, context=_context())

    def decrypt(self, encrypted_text: str) -> str:
        return _vault().open(encrypted_text, context=_context())


def _context(row: str = "") -> tuple[str, ...]:
    """The same for every row: allauth seals a secret before its row exists."""
    return ("mfa_authenticator", "secret")


register(SealedColumn("mfa.Authenticator", "data", _context, names=("secret", "seed")))


@lru_cache(maxsize=1)
def _vault() -> Vault:
    return Vault(settings.ENV.vault_keys.get_secret_value())
