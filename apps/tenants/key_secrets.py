"""The secret of an API key: `sk-sb-<10 characters>-<43 characters>`.

The part up to the second group is the prefix: shown in lists, indexed, and no secret. Of the whole only an HMAC under
the installation's pepper is kept, so that a stolen table neither signs in nor can be guessed at.
"""

import re
import secrets
import string

from django.conf import settings

from apps.vault import keyed_digest

MARK = "sk-sb-"
_PREFIX_RANDOM = 10
_ALPHABET = string.ascii_lowercase + string.digits
_SECRET = re.compile(rf"(?P<prefix>{MARK}[a-z0-9]{{{_PREFIX_RANDOM}}})-[A-Za-z0-9_-]{{20,80}}")


def new_secret() -> tuple[str, str]:
    """A new (prefix, secret)."""
    prefix = MARK + "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX_RANDOM))
    return prefix, f"{prefix}-{secrets.token_urlsafe(32)}"


def prefix_of(secret: str) -> str | None:
    """The prefix of a well-formed secret; None for anything else."""
    match = _SECRET.fullmatch(secret)
    return match["prefix"] if match else None


def digest(secret: str) -> bytes:
    """What is stored of a secret: 32 bytes."""
    return keyed_digest(settings.API_KEY_PEPPER, secret)
