"""Secrets at rest: text sealed with AES-GCM under named keys, and digests of API keys. No tables."""

from apps.vault.digests import keyed_digest, new_secret, same_digest
from apps.vault.errors import BadKeys, Tampered, UnknownKey, VaultError
from apps.vault.sealed_columns import SealedColumn, register, sealed_columns
from apps.vault.sealing import Vault, fingerprint

__all__ = [
    "BadKeys",
    "SealedColumn",
    "Tampered",
    "UnknownKey",
    "Vault",
    "VaultError",
    "fingerprint",
    "keyed_digest",
    "new_secret",
    "register",
    "same_digest",
    "sealed_columns",
]
