"""From the frameworks' signals about signing in to the audit log. What was typed never gets there."""

from typing import Any
from uuid import UUID

import structlog
from allauth.account import signals as account
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.contrib.auth.signals import user_logged_out, user_login_failed
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from apps.accounts import browsers, passkeys, selectors
from apps.accounts.models import User
from apps.tenants import sign_in_log
from apps.tenants.contracts import SESSION_COMPANY

FAILED = "sign_in.failed"
PASSWORD, SECOND_FACTOR, PASSKEY, COMPANY = "password", "second_factor", "passkey", "company"

log = structlog.get_logger(__name__)


def via_of(request: HttpRequest | None) -> str:
    return "jwt" if request is not None and request.path.startswith("/api/") else "session"


def second_factor_failed(user_id: UUID, request: HttpRequest | None) -> None:
    sign_in_log.failed(("user", user_id), FAILED, SECOND_FACTOR, via=via_of(request))


def recovery_code_used(user: User) -> None:
    sign_in_log.note(user, "recovery_code.used")


@receiver(user_login_failed, dispatch_uid="sign_in_events.password")
def _password(sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """An address that nobody has is not written down: people type passwords into the wrong field."""
    user_id = selectors.id_by_email(str(credentials.get("username") or credentials.get("email") or ""))
    if user_id is None:
        log.warning(FAILED, method=PASSWORD, known=False)
    else:
        sign_in_log.failed(("user", user_id), FAILED, PASSWORD, via=via_of(request))


@receiver(mfa.authentication_failed, dispatch_uid="sign_in_events.second_factor")
def _second_factor(sender: Any, request: HttpRequest | None, user: User, **_: Any) -> None:
    second_factor_failed(user.pk, request)


@receiver(passkeys.refused, dispatch_uid="sign_in_events.passkey")
def _passkey(sender: Any, user: User, **_: Any) -> None:
    sign_in_log.failed(("user", user.pk), FAILED, PASSKEY)


@receiver(mfa.authenticator_used, dispatch_uid="sign_in_events.used")
def _used(sender: Any, user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        recovery_code_used(user)


@receiver(mfa.authenticator_added, dispatch_uid="sign_in_events.added")
def _added(sender: Any, user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type != Authenticator.Type.TOTP:
        _factor(user, authenticator, "added")


@receiver(post_save, sender=Authenticator, dispatch_uid="sign_in_events.app_added")
def _app_added(sender: Any, instance: Authenticator, created: bool, **_: Any) -> None:
    """allauth tells of an app after the commit; the note belongs into the transaction."""
    if created and instance.type == Authenticator.Type.TOTP and context.request is not None:
        _factor(instance.user, instance, "added")


@receiver(mfa.authenticator_removed, dispatch_uid="sign_in_events.removed")
def _removed(sender: Any, user: User, authenticator: Authenticator, **_: Any) -> None:
    _factor(user, authenticator, "removed")


@receiver(mfa.authenticator_reset, dispatch_uid="sign_in_events.reset")
def _reset(sender: Any, user: User, authenticator: Authenticator, **_: Any) -> None:
    _factor(user, authenticator, "added")


def _factor(user: User, authenticator: Authenticator, what: str) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        sign_in_log.note(user, "recovery_codes.generated" if what == "added" else "recovery_codes.removed")
    else:
        sign_in_log.note(user, f"second_factor.{what}", data={"kind": str(authenticator.type)})


@receiver(account.password_changed, dispatch_uid="sign_in_events.password_changed")
@receiver(account.password_set, dispatch_uid="sign_in_events.password_set")
@receiver(account.password_reset, dispatch_uid="sign_in_events.password_reset")
def _new_password(sender: Any, user: User, signal: Any, **_: Any) -> None:
    by_mail = signal is account.password_reset
    sign_in_log.note(user, "password.reset" if by_mail else "password.changed")


@receiver(account.email_changed, dispatch_uid="sign_in_events.email_changed")
def _email_changed(
    sender: Any, user: User, from_email_address: EmailAddress | None, to_email_address: EmailAddress, **_: Any
) -> None:
    before = from_email_address.email if from_email_address else ""
    sign_in_log.note(user, "email.changed", data={"from": before, "to": to_email_address.email})


@receiver(account.email_added, dispatch_uid="sign_in_events.email_added")
@receiver(account.email_removed, dispatch_uid="sign_in_events.email_removed")
def _email_list(sender: Any, user: User, signal: Any, **_: Any) -> None:
    """Which address is the person's own affair until they sign in with it."""
    sign_in_log.note(user, "email.added" if signal is account.email_added else "email.removed")


@receiver(account.email_confirmed, dispatch_uid="sign_in_events.email_verified")
def _email_verified(sender: Any, email_address: EmailAddress, **_: Any) -> None:
    sign_in_log.note(email_address.user, "email.verified")


@receiver(browsers.ended_from_list, dispatch_uid="sign_in_events.ended_from_list")
def _ended_from_list(sender: Any, user: User, sessions: int, **_: Any) -> None:
    sign_in_log.note(user, "session.ended", data={"from": "list", "sessions": sessions})


@receiver(user_logged_out, dispatch_uid="sign_in_events.logged_out")
def _logged_out(sender: Any, request: HttpRequest | None, user: User | None, **_: Any) -> None:
    if user is not None and user.pk is not None:
        company = request.session.get(SESSION_COMPANY) if request is not None else None
        sign_in_log.note(user, "session.ended", tenant_id=UUID(company) if company else None)
