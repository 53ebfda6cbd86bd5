"""Who somebody is at a company's identity provider. An identity is the provider's row and the subject there, no more.

An e-mail address is what a provider says, and is never looked up to find whom an identity belongs to.
"""

from uuid import UUID

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from uuid6 import uuid7

from apps.accounts import services
from apps.accounts.contracts import CheckedAccount

MAX_SUBJECT = 191  # characters; what the column holds


def owner(provider_id: UUID, subject: str) -> UUID | None:
    """Whose identity it is; None while it is nobody's."""
    found = SocialAccount.objects.filter(provider=str(provider_id), uid=subject)
    user_id: UUID | None = found.values_list("user_id", flat=True).first()
    return user_id


def providers_of(user_id: UUID) -> set[str]:
    """The ids of the providers a person is known at."""
    return set(SocialAccount.objects.filter(user_id=user_id).values_list("provider", flat=True))


def new_account(email: str, name: str) -> CheckedAccount:
    """An account without a password, not yet written. The caller has looked at both fields."""
    return CheckedAccount(uuid7(), email.strip().lower(), name.strip()[:120], make_password(None))


def insert(account: CheckedAccount, provider_id: UUID, subject: str) -> None:
    """Write account and identity in the caller's transaction; the address counts as unproven.

    Raises `InvalidAccount` when the address is taken.
    """
    services.insert(account)
    if not EmailAddress.objects.filter(user_id=account.id).exists():
        EmailAddress.objects.create(user_id=account.id, email=account.email, primary=True, verified=False)
    SocialAccount.objects.create(user_id=account.id, provider=str(provider_id), uid=subject, extra_data={})


def add(user_id: UUID, provider_id: UUID, subject: str) -> bool:
    """Give a person an identity in the caller's transaction; False where it is somebody else's already."""
    try:
        with transaction.atomic():
            kept, _made = SocialAccount.objects.get_or_create(
                provider=str(provider_id), uid=subject, defaults={"user_id": user_id, "extra_data": {}}
            )
    except IntegrityError:
        return False
    return bool(kept.user_id == user_id)


def remove(user_id: UUID, provider_id: UUID) -> int:
    """Take a person's identities at a provider away; returns how many there were."""
    return _remove(SocialAccount.objects.filter(user_id=user_id, provider=str(provider_id)))


def remove_all(provider_id: UUID) -> int:
    """Take everybody's identities at a provider away; returns how many there were."""
    return _remove(SocialAccount.objects.filter(provider=str(provider_id)))


def _remove(rows: "QuerySet[SocialAccount]") -> int:
    """Django's own `delete` would look for providers' tokens, too: none are kept, and nobody may read that table."""
    removed: int = rows._raw_delete(rows.db)
    return removed
