"""Telling somebody that they are invited: the link, and the e-mail where this installation can send one."""

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse

from apps.tenants.contracts import NewInvitation, Principal

log = structlog.get_logger(__name__)


def invitation_address(made: NewInvitation) -> str:
    """The one-time link."""
    return f"{settings.BASE_URL}{reverse('invitation', args=[made.secret])}"


def send(made: NewInvitation, by: Principal) -> bool:
    """Mail the link. False where no mail can be sent: then the link has to be handed over in another way."""
    if not settings.MAIL_IS_CONFIGURED:
        return False
    text = (
        f"{by.user_name} invites you to {by.tenant_name} on Switchboard.\n\n"
        f"Open this link to join. It is for you alone, and works until {made.expires_at:%d %B %Y}:\n"
        f"{invitation_address(made)}\n\n"
        "If you do not know what this is about, do nothing.\n"
    )
    try:
        send_mail(f"Join {by.tenant_name} on Switchboard", text, settings.DEFAULT_FROM_EMAIL, [made.email])
    except OSError as error:
        log.warning("invitation.not_mailed", error=type(error).__name__)
        return False
    return True
