"""Providers' keys, sealed for the one row that holds them."""

from functools import lru_cache
from uuid import UUID

from django.conf import settings

from apps.vault import SealedColumn, Vault, VaultError, register, same_digest


def seal(provider_id: UUID, key: str) -> str:
    """What may be stored; empty for no key."""
    return _vault().seal(key, context=_context(provider_id)) if key else ""


def open_key(provider_id: UUID, sealed_key: str) -> str | None:
    """The key itself, None for no key. Raises `VaultError` where it was sealed under a key we no longer have."""
    return _vault().open(sealed_key, context=_context(provider_id)) if sealed_key else None


def holds(provider_id: UUID, sealed_key: str, key: str) -> bool:
    """Whether the sealed key is this key. A key that cannot be opened is another."""
    try:
        return same_digest((open_key(provider_id, sealed_key) or "").encode(), key.encode())
    except VaultError:
        return False


def _context(provider_id: UUID | str) -> tuple[str, ...]:
    return ("routing_provider", str(provider_id), "key")


register(SealedColumn("routing.Provider", "sealed_key", _context))


@lru_cache(maxsize=1)
def _vault() -> Vault:
    return Vault(settings.ENV.vault_keys.get_secret_value())
