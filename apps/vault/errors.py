"""Why a sealed text stays shut. No message carries a secret, a key or the sealed text.

VaultError
├── BadKeys      the key list cannot be used
├── UnknownKey   sealed under a key this installation does not have (any more)
└── Tampered     not sealed here, changed since, or opened for another context than it was sealed for
"""

from typing import ClassVar


class VaultError(Exception):
    """Root. Waiting never helps, so nothing here is retryable."""

    code: ClassVar[str] = "vault_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False


class BadKeys(VaultError):
    code = "vault_bad_keys"


class UnknownKey(VaultError):
    code = "vault_unknown_key"


class Tampered(VaultError):
    code = "vault_tampered"
