"""What crosses the border of `accounts`."""

from dataclasses import dataclass, field
from uuid import UUID

MAX_PASSWORD = 1024  # characters; hashing time must not follow what a stranger sends


@dataclass(frozen=True, slots=True)
class CheckedAccount:
    """An account whose fields are in order, not yet written; hashing the password is the slow part, and is done."""

    id: UUID
    email: str
    name: str
    password_hash: str = field(repr=False)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold the text: no NUL, and encodable as UTF-8 (no half of a surrogate pair)."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
