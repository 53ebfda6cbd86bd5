"""The secrets with which we sign in at companies' identity providers, sealed for the one row that holds them."""

from functools import lru_cache
from uuid import UUID

from django.conf import settings

from apps.vault import SealedColumn, Vault, register


def seal(provider_id: UUID, secret: str) -> str:
    """What may be stored; empty for no secret."""
    return _vault().seal(secret, context=_context(provider_id)) if secret else ""


def open_secret(provider_id: UUID, sealed_secret: str) -> str | None:
    """The secret itself, None for none. Raises `VaultError` where it was sealed under a key we no longer have."""
    return _vault().open(sealed_secret, context=_context(provider_id)) if sealed_secret else None


def _context(provider_id: UUID | str) -> tuple[str, ...]:
    return ("tenants_identityprovider", str(provider_id), "secret")


register(SealedColumn("tenants.IdentityProvider", "sealed_secret", _context))


@lru_cache(maxsize=1)
def _vault() -> Vault:
    return Vault(settings.ENV.vault_keys.get_secret_value())
