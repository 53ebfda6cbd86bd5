"""Reads about people."""

from uuid import UUID

from apps.accounts.models import User


def id_by_email(email: str) -> UUID | None:
    """The account with this e-mail address, in any case; None when there is none."""
    try:
        return User.objects.get_by_natural_key(email).id
    except User.DoesNotExist:
        return None


def credential_fingerprint(user_id: UUID) -> str | None:
    """A short text that changes with the person's password; None for an unknown or inactive person."""
    user = User.objects.filter(id=user_id, is_active=True).first()
    return fingerprint(user) if user else None


def fingerprint(user: User) -> str:
    """The same of a person who was read already."""
    return user.get_session_auth_hash()[:16]
