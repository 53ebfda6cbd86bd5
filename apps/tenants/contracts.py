"""What crosses the border of `tenants`: who is calling, for which tenant."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.contrib.sessions.backends.base import SessionBase

SESSION_TENANT = "tenant_id"  # where a session keeps the tenant it works in
# Between a company's answer and the session, where a second factor may still be asked for.
SESSION_ARRIVING = "company_sign_in"
SESSION_COMPANY = "company_tenant_id"  # the one tenant of a session that a company's own sign-in opened
SESSION_PROVIDER = "identity_provider_id"  # which of the tenant's, for such a session

# What an answer may cost at most, as people and programs write it: above 0, up to 1,000, not below a nano-dollar.
DOLLARS = r"^(?:0\.(?=0*[1-9])[0-9]{1,9}|[1-9][0-9]{0,2}(?:\.[0-9]{1,9})?|1000)$"
NANOUSD_PER_USD = 1_000_000_000
MOST_USD = 1_000
LONGEST_FIRST_TOKEN_MS = 600_000


def tenant_of_session(session: Mapping[str, Any] | SessionBase) -> UUID | None:
    """The tenant a session works in; one that a company's sign-in opened works in that company's alone.

    None where it names none: it then works in the tenant its person joined first.
    """
    try:
        return UUID(session.get(SESSION_COMPANY) or session[SESSION_TENANT])
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


class Via(StrEnum):
    """How the caller proved who they are."""

    SESSION = "session"
    JWT = "jwt"
    OAUTH = "oauth"
    API_KEY = "api_key"
    SCIM = "scim"


class Scope(StrEnum):
    """What a restricted API key may open. A key without scopes opens all of it."""

    CHAT = "chat"  # every door under /v1/, and the WebSocket
    COMPLETIONS = "completions"  # POST /v1/chat/completions; like the next three, beside the list of models
    RESPONSES = "responses"  # POST /v1/responses
    MESSAGES = "messages"  # POST /v1/messages, and counting tokens for it
    EMBEDDINGS = "embeddings"  # POST /v1/embeddings
    READ = "read"  # GET under /v1/ and /api/
    MANAGE = "manage"  # the REST API under /api/
    SCIM = "scim"  # a directory's doors under /scim/, which no other key opens; alone, and made by administrators


@dataclass(frozen=True, slots=True)
class Proof:
    """What a person's credential rests on, so that a connection that stays open can be held up to it again.

    `fingerprint` changes with the person's password. A key rests on its own row, and needs none of this.
    """

    fingerprint: str
    session_key: str | None = None
    family: UUID | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: one person (or a program in their name) in one tenant. Every route resolves to this first.

    `scopes` is empty for a person's session (everything their role may do) and for an unrestricted key. `models` bounds
    what the caller may reach, by slug; None sets no bound. `key_prefix` names the secret that was shown: a key may have
    several for a while.
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
    models: frozenset[str] | None = None
    key_prefix: str | None = field(default=None, compare=False)
    proof: Proof | None = field(default=None, compare=False, repr=False)
    # The tenant demands a second factor, and this person has none: nothing is open but setting one up.
    lacks_second_factor: bool = field(default=False, compare=False)

    @property
    def is_authenticated(self) -> bool:
        """What Django REST framework asks of a user object."""
        return True

    def opens(self, scopes: Collection[Scope]) -> bool:
        """Whether the credential opens a door that any of these scopes opens."""
        return not self.scopes or not self.scopes.isdisjoint(scopes)


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key at the one moment its secret is known."""

    id: UUID
    name: str
    prefix: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ApiKeySummary:
    """A key as lists show it. `prefix` is the part of the secret that identifies it."""

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    user_name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    is_yours: bool = True
    models: tuple[str, ...] | None = None
    rotated_at: datetime | None = None
    earlier_secrets: tuple["EarlierSecretSummary", ...] = ()
    team_id: UUID | None = None
    team_name: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether it opens nothing any more."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class EarlierSecretSummary:
    """A secret that a key had before it was rotated, and that still works until `ends_at`."""

    prefix: str
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class OfferedName:
    """What a caller may name in a request. `answers` is False for a policy, which answers by other models."""

    slug: str
    name: str
    answers: bool = True


@dataclass(frozen=True, slots=True)
class TokenFamily:
    """A program's sign-in as lists show it. `current` is the one that the caller's own access token belongs to."""

    id: UUID
    client: str
    opened_at: datetime
    renewed_at: datetime
    expires_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class OffBoarded:
    """What ended when somebody left a tenant, as counts."""

    keys: int
    token_families: int
    sessions: int
    answers: int


@dataclass(frozen=True, slots=True)
class MemberSummary:
    """Somebody who belongs to the caller's tenant. `id` is the membership's."""

    id: UUID
    user_id: UUID
    name: str
    email: str
    role: str
    joined_at: datetime
    suspended_at: datetime | None
    is_you: bool
    is_awaited: bool = False  # a directory has named them, and they have not come yet
    has_second_factor: bool = False


@dataclass(frozen=True, slots=True)
class InvitationSummary:
    """An open invitation as lists show it."""

    id: UUID
    email: str
    role: str
    invited_by: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """An invitation at the one moment its secret is known."""

    id: UUID
    email: str
    role: str
    expires_at: datetime
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenInvitation:
    """What a link opens. `has_account` tells whether the address it was sent to can sign in already."""

    id: UUID
    tenant_id: UUID
    tenant_name: str
    email: str
    role: str
    has_account: bool


@dataclass(frozen=True, slots=True)
class TeamSummary:
    """A team; `members` are membership ids. A provisioned one is kept by a directory."""

    id: UUID
    name: str
    provisioned: bool
    members: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ModelRuleSummary:
    """Whom a tier of models is open to."""

    tier: str
    roles: tuple[str, ...]
    teams: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class TenantSummary:
    """What a tenant says of itself."""

    id: UUID
    name: str
    slug: str
    plan: str
    requires_second_factor: bool
    created_at: datetime
    max_output_tokens: int | None = None
    instructions: str = ""
    summaries: bool = True
    max_cost_nanousd: int | None = None
    max_first_token_ms: int | None = None


@dataclass(frozen=True, slots=True)
class MembershipSummary:
    """A tenant somebody may work in, and as what."""

    tenant_id: UUID
    tenant_name: str
    tenant_slug: str
    role: str


@dataclass(frozen=True, slots=True)
class NewTenant:
    id: UUID
    slug: str
    owner_id: UUID
