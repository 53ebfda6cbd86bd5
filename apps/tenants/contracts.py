"""What crosses the border of `tenants`: who is calling, for which tenant."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Via(StrEnum):
    """How the caller proved who they are."""

    SESSION = "session"
    JWT = "jwt"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: one person (or a program in their name) in one tenant. Every route resolves to this first.

    `scopes` is empty for a person's session (everything their role may do) and for an unrestricted key.
    """

    user_id: UUID
    tenant_id: UUID
    role: str
    user_name: str
    user_email: str
    tenant_name: str
    via: Via
    scopes: frozenset[str] = frozenset()
    api_key_id: UUID | None = None

    @property
    def is_authenticated(self) -> bool:
        """What Django REST framework asks of a user object."""
        return True


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key at the one moment its secret is known."""

    id: UUID
    name: str
    prefix: str
    secret: str


@dataclass(frozen=True, slots=True)
class NewTenant:
    id: UUID
    slug: str
    owner_id: UUID
