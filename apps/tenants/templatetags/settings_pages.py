"""What the settings' templates ask for: their navigation, the names of roles, and what a message can take back."""

import json
from collections.abc import Mapping
from typing import Any

from django import template
from django.contrib.messages.storage.base import Message
from django.urls import reverse

from apps.tenants import features
from apps.tenants.contracts import Principal
from apps.tenants.features import Feature
from apps.tenants.models import Membership
from apps.tenants.policy import Action, allows

register = template.Library()

# (name of the page, words, address, action, feature)
_OWN = (
    ("account", "Account", "mfa_index", Action.SELF, None),
    ("about", "About you", "own_instructions", Action.SELF, None),
    ("keys", "API keys", "api_keys", Action.KEYS_READ, None),
    ("company", "Company sign-in", "company_connections", Action.SELF, Feature.COMPANY_SIGN_IN),
)
_SHARED = (
    ("members", "Members", "members", Action.MEMBERS_READ, None),
    ("teams", "Teams", "teams", Action.TEAMS_READ, None),
    ("rules", "Model rules", "rules", Action.RULES_READ, None),
    ("answers", "Answers", "answers", Action.TENANT_READ, None),
    ("caches", "Answer caches", "caches", Action.TENANT_READ, None),
    ("safety", "Safety", "safety", Action.SAFETY_MANAGE, None),
    ("workspace", "Workspace", "workspace", Action.TENANT_READ, None),
    ("sign-in", "Identity providers", "identity_providers", Action.IDENTITY_MANAGE, Feature.COMPANY_SIGN_IN),
    ("directory", "Directory", "directory", Action.PROVISION, Feature.DIRECTORY),
    ("audit", "Audit log", "audit", Action.AUDIT_READ, None),
    ("manage", "Administration", "manage:index", Action.QUOTA_MANAGE, None),
)


@register.simple_tag(takes_context=True)
def settings_groups(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pages that the caller may open, in groups; nothing for nobody."""
    principal: Principal | None = getattr(context.get("request"), "principal", None)
    if principal is None:
        return []
    off = {one for one in Feature if not features.is_on(one, principal.tenant_id)}
    return [
        {
            "title": title,
            "pages": [
                {"name": name, "words": words, "address": reverse(address)}
                for name, words, address, action, feature in pages
                if allows(principal.role, action) and feature not in off
            ],
        }
        for title, pages in (("You", _OWN), (principal.tenant_name, _SHARED))
    ]


@register.filter
def role_name(role: str) -> str:
    """A role as people read it."""
    return str(Membership.Role(role).label) if role in Membership.Role.values else role


@register.filter
def undo(message: Message) -> dict[str, Any] | None:
    """The form that takes back what a message tells; None where nothing does."""
    return json.loads(message.extra_tags) if message.extra_tags and message.extra_tags.startswith("{") else None


@register.filter
def with_id(words: str, row_id: object) -> str:
    """An id for an element that belongs to a row."""
    return f"{words}{row_id}"
