"""Who may do what: the one table. Every route and every message of a socket names an action; nothing else decides.

A view says which actions its methods are (`opens`), or that it needs none (`public`). The middleware holds every
request up to the table before its view runs, and refuses a view that says neither.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from apps.accounts.errors import SecondFactorSetupRequired
from apps.problems import Forbidden
from apps.tenants.contracts import Principal

View = TypeVar("View", bound=Callable[..., Any])


class Role(StrEnum):
    """What a member is in a tenant, the mightiest first. The platform's operators stand outside of it."""

    OWNER = "owner"
    ADMIN = "admin"
    BILLING_ADMIN = "billing_admin"
    MEMBER = "member"
    VIEWER = "viewer"


class Action(StrEnum):
    """What can be done in a tenant."""

    SELF = "self"  # who am I, my sessions, my second factor
    CHAT_READ = "chat.read"
    CHAT_ASK = "chat.ask"
    CHAT_KEEP = "chat.keep"  # rename, delete, restore one's own chats
    MODELS_READ = "models.read"
    KEYS_READ = "keys.read"
    KEYS_MAKE = "keys.make"
    KEYS_REVOKE = "keys.revoke"
    KEYS_OF_OTHERS = "keys.of_others"
    TENANT_READ = "tenant.read"
    TENANT_CHANGE = "tenant.change"
    TENANT_TRANSFER = "tenant.transfer"
    MEMBERS_READ = "members.read"
    MEMBERS_MANAGE = "members.manage"
    TEAMS_READ = "teams.read"
    TEAMS_MANAGE = "teams.manage"
    RULES_READ = "rules.read"
    RULES_MANAGE = "rules.manage"
    IDENTITY_MANAGE = "identity.manage"  # the company's own sign-in and its directory
    PROVISION = "provision"  # SCIM, by a key made for it
    SAFETY_MANAGE = "safety.manage"  # what is screened, and what was found
    AUDIT_READ = "audit.read"
    USAGE_READ = "usage.read"
    QUOTA_MANAGE = "quota.manage"


_EVERYBODY = frozenset(Role)
_WORKING = _EVERYBODY - {Role.VIEWER}
_ADMINS = frozenset({Role.OWNER, Role.ADMIN})

POLICY: Mapping[Action, frozenset[Role]] = {
    Action.SELF: _EVERYBODY,
    Action.CHAT_READ: _EVERYBODY,
    Action.CHAT_ASK: _WORKING,
    Action.CHAT_KEEP: _WORKING,
    Action.MODELS_READ: _EVERYBODY,
    Action.KEYS_READ: _EVERYBODY,
    Action.KEYS_MAKE: _WORKING,
    Action.KEYS_REVOKE: _EVERYBODY,
    Action.KEYS_OF_OTHERS: _ADMINS,
    Action.TENANT_READ: _EVERYBODY,
    Action.TENANT_CHANGE: _ADMINS,
    Action.TENANT_TRANSFER: frozenset({Role.OWNER}),
    Action.MEMBERS_READ: _EVERYBODY,
    Action.MEMBERS_MANAGE: _ADMINS,
    Action.TEAMS_READ: _EVERYBODY,
    Action.TEAMS_MANAGE: _ADMINS,
    Action.RULES_READ: _EVERYBODY,
    Action.RULES_MANAGE: _ADMINS,
    Action.IDENTITY_MANAGE: _ADMINS,
    Action.PROVISION: _ADMINS,
    Action.SAFETY_MANAGE: _ADMINS,
    Action.AUDIT_READ: _ADMINS,
    Action.USAGE_READ: _ADMINS | {Role.BILLING_ADMIN},
    Action.QUOTA_MANAGE: _ADMINS | {Role.BILLING_ADMIN},
}


def allows(role: str, action: Action) -> bool:
    """Whether the table gives `action` to `role`; an unknown role may nothing."""
    return role in POLICY[action]


def require(principal: Principal, action: Action) -> None:
    """Raises `Forbidden` where the caller's role does not have `action`."""
    if not allows(principal.role, action):
        raise refusal(principal)
    if principal.lacks_second_factor:
        raise setup_required()


def setup_required() -> SecondFactorSetupRequired:
    """What a member without a second factor is told where the tenant demands one."""
    return SecondFactorSetupRequired(
        "Your organisation asks every member for a second factor. Set one up under /account/second-factor/ first."
    )


def refusal(principal: Principal) -> Forbidden:
    """What a caller is told whose role does not have an action."""
    role = principal.role.replace("_", " ")
    return Forbidden(f"As {role} you may not do this. An owner or administrator of the workspace can change your role.")


ACTIONS = "actions"
PUBLIC = "public_because"


def opens(**actions: Action) -> Callable[[View], View]:
    """Say which action each method of a function view is: `opens(GET=..., POST=...)`. HEAD counts as GET.

    A class of REST framework carries the same as its attribute `actions`.
    """

    def mark(view: View) -> View:
        setattr(view, ACTIONS, dict(actions))
        return view

    return mark


def public(reason: str) -> Callable[[View], View]:
    """Say that a view is for everybody, and why that is right."""

    def mark(view: View) -> View:
        setattr(view, PUBLIC, reason)
        return view

    return mark


def declared(view: Callable[..., Any]) -> Mapping[str, Action] | None:
    """The actions that a resolved view declares, by method; empty for a public one, None where it declares nothing."""
    place = getattr(view, "cls", None) or getattr(view, "view_class", None) or view
    if getattr(place, PUBLIC, None) or getattr(view, PUBLIC, None):
        return {}
    actions: Mapping[str, Action] | None = getattr(place, ACTIONS, None) or getattr(view, ACTIONS, None)
    return actions
