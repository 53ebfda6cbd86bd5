"""Refusals at the door, and of changes to a tenant.

Problem
├── NotFound                 no such key for this caller
├── Forbidden
│   ├── FeatureOff           operators have switched this off for the tenant
│   └── InsufficientScope    the key was not made for this door
├── Unauthenticated
│   └── CredentialRefused    a token or key that proves nothing, or nothing any more
├── Conflict
│   └── TenantMismatch       the request speaks for another tenant than its session
├── Invalid
│   ├── InvalidTenant        a name breaks a rule
│   ├── InvalidApiKey        name, scopes or end of a new key break a rule
│   ├── InvalidInstructions  a text for models is too long, or is none
│   ├── InvalidInvitation    address or role of an invitation break a rule
│   └── InvalidTeam          a team or a rule that names one breaks a rule
├── MethodRefused            no door answers this method
├── PayloadTooLarge          the body is over the limit
├── BodyTooSlow              the body did not come in time
└── TooManyTries             of `accounts`: sign-ins or sign-ups come too fast

UnsafeRoles is no problem of a caller: it stops the process at its start.
"""

from apps.accounts.errors import TooManyTries
from apps.problems import Conflict, Forbidden, Invalid, NotFound, Problem, Unauthenticated

__all__ = [
    "BodyTooSlow",
    "CredentialRefused",
    "FeatureOff",
    "InsufficientScope",
    "InvalidApiKey",
    "InvalidInstructions",
    "InvalidInvitation",
    "InvalidTeam",
    "InvalidTenant",
    "MethodRefused",
    "NotFound",
    "PayloadTooLarge",
    "TenantMismatch",
    "TooManyTries",
    "UnsafeRoles",
]


class CredentialRefused(Unauthenticated):
    """The token or key is malformed, unknown, expired or revoked, or its person or tenant is not active."""

    code = "invalid_credentials"


class FeatureOff(Forbidden):
    """Operators have switched this part of the product off for the tenant."""

    code = "feature_off"


class InsufficientScope(Forbidden):
    """The API key is restricted to other doors."""

    code = "insufficient_scope"


class MethodRefused(Problem):
    """A method that is answered nowhere, whatever the door."""

    code = "method_not_allowed"
    status = 405


class TenantMismatch(Conflict):
    """The page was opened for another tenant than the session's; two tabs must not mix."""

    code = "tenant_mismatch"


class InvalidTenant(Invalid):
    """The tenant cannot be opened; `fields` says what is wrong with the name."""

    code = "invalid_tenant"


class InvalidApiKey(Invalid):
    """The key cannot be made; `fields` says which input is wrong."""

    code = "invalid_api_key"


class InvalidInstructions(Invalid):
    """The instructions for models cannot be kept; `fields` says why."""

    code = "invalid_instructions"


class InvalidInvitation(Invalid):
    """Nobody can be invited like this; `fields` says which input is wrong."""

    code = "invalid_invitation"


class InvalidTeam(Invalid):
    """The team, or the rule that names teams, cannot be like this; `fields` says which input is wrong."""

    code = "invalid_team"


class PayloadTooLarge(Problem):
    """The body is larger than this door takes."""

    code = "payload_too_large"
    status = 413


class BodyTooSlow(Problem):
    """The body of the request was not there in time."""

    code = "request_timeout"
    status = 408
    retryable = True


class UnsafeRoles(Exception):
    """A database role could see or change more than row-level security allows. The message says what to change."""
