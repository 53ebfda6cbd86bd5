"""How the two administrations look and how their pages are grouped; read by django-unfold."""

from functools import partial
from typing import Any

from django.apps import apps
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

# The product's own colours (static/css/tokens.css), from light to dark.
_COLOURS = {
    "base": {
        "50": "oklch(98.8% .004 85)",
        "100": "oklch(96.7% .006 85)",
        "200": "oklch(90.6% .007 85)",
        "300": "oklch(82% .009 85)",
        "400": "oklch(70% .011 85)",
        "500": "oklch(52% .013 78)",
        "600": "oklch(42% .013 75)",
        "700": "oklch(34% .01 70)",
        "800": "oklch(27.5% .008 70)",
        "900": "oklch(20.5% .006 70)",
        "950": "oklch(17.8% .006 70)",
    },
    "primary": {
        "50": "oklch(97.5% .012 272)",
        "100": "oklch(95.6% .021 272)",
        "200": "oklch(90% .05 272)",
        "300": "oklch(83% .085 273)",
        "400": "oklch(77% .11 273)",
        "500": "oklch(66% .15 272)",
        "600": "oklch(52% .18 270)",
        "700": "oklch(46% .18 270)",
        "800": "oklch(38% .15 271)",
        "900": "oklch(28.5% .09 273)",
        "950": "oklch(21% .04 273)",
    },
}


def _page(title: str, icon: str, model: str, site: str) -> dict[str, Any]:
    return {"title": title, "icon": icon, "model": model, "link": reverse_lazy(f"{site}:{model}_changelist")}


def _group(title: str, site: str, *pages: tuple[str, str, str]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": [_page(*page, site) for page in pages]}


def _may_open(model: str, request: HttpRequest) -> bool:
    from apps.tenants.admin_sites import manage

    app_label, _, model_name = model.rpartition("_")
    return manage.get_model_admin(apps.get_model(app_label, model_name)).has_view_permission(request)


def _allowed(group: dict[str, Any]) -> dict[str, Any]:
    """Pages of a tenant's administration show in the sidebar where the role may open them."""
    for item in group["items"]:
        item["permission"] = partial(_may_open, str(item.pop("model")))
    return group


def _site(header: str, subheader: str, navigation: list[dict[str, Any]]) -> dict[str, Any]:
    navigation[0]["separator"] = False
    return {
        "SITE_TITLE": header,
        "SITE_HEADER": header,
        "SITE_SUBHEADER": subheader,
        "SITE_URL": "/chat/",
        "SITE_ICON": lambda request: static("icon.svg"),
        "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("icon.svg")}],
        "STYLES": [lambda request: static("css/administration.css")],
        "SHOW_HISTORY": True,
        "SHOW_VIEW_ON_SITE": False,
        "BORDER_RADIUS": "8px",
        "COLORS": _COLOURS,
        "COMMAND": {"search_models": False, "show_history": False},
        "SIDEBAR": {
            "show_search": False,
            "command_search": False,
            "show_all_applications": False,
            "navigation": navigation,
        },
    }


OPERATORS = _site(
    "Switchboard",
    "Operators",
    [
        _group(
            "Tenants",
            "admin",
            ("Tenants", "domain", "tenants_tenant"),
            ("Memberships", "badge", "tenants_membership"),
            ("Teams", "groups", "tenants_team"),
            ("Invitations", "mail", "tenants_invitation"),
            ("Model rules", "rule", "tenants_modelrule"),
            ("API keys", "key", "tenants_apikey"),
            ("Flags", "flag", "tenants_flag"),
        ),
        _group(
            "People and signing in",
            "admin",
            ("People", "person", "accounts_user"),
            ("E-mail addresses", "alternate_email", "account_emailaddress"),
            ("Second factors", "phonelink_lock", "mfa_authenticator"),
            ("Sessions", "devices", "usersessions_usersession"),
            ("Programs' sign-ins", "token", "tenants_refreshtoken"),
            ("Identity providers", "passkey", "tenants_identityprovider"),
            ("Linked accounts", "link", "socialaccount_socialaccount"),
            ("Directory users", "contacts", "tenants_provisioneduser"),
            ("OAuth clients", "apps", "allauth_idp_oidc_client"),
        ),
        _group(
            "Models",
            "admin",
            ("Providers", "dns", "routing_provider"),
            ("Models", "smart_toy", "routing_languagemodel"),
            ("Deployments", "hub", "routing_deployment"),
            ("Prices", "sell", "routing_price"),
            ("Routing policies", "alt_route", "routing_routingpolicy"),
            ("Answer caches", "cached", "routing_cachesettings"),
            ("Safety rules", "shield", "routing_safetyrules"),
        ),
        _group(
            "Money and records",
            "admin",
            ("Quotas", "speed", "billing_quota"),
            ("Ledger", "receipt_long", "billing_ledgerentry"),
            ("Audit log", "history", "tenants_auditentry"),
            ("Generations", "forum", "conversations_generation"),
            ("Safety verdicts", "gavel", "routing_safetyverdict"),
            ("Workers", "memory", "conversations_worker"),
        ),
    ],
)

TENANTS = _site(
    "Switchboard",
    "Your workspace",
    [
        _allowed(
            _group(
                "Workspace",
                "manage",
                ("Workspace", "domain", "tenants_tenant"),
                ("Members", "badge", "tenants_membership"),
                ("Teams", "groups", "tenants_team"),
                ("Invitations", "mail", "tenants_invitation"),
                ("Model rules", "rule", "tenants_modelrule"),
            )
        ),
        _allowed(
            _group(
                "Access",
                "manage",
                ("API keys", "key", "tenants_apikey"),
                ("Identity providers", "passkey", "tenants_identityprovider"),
                ("Own providers", "dns", "routing_provider"),
                ("Own models", "smart_toy", "routing_languagemodel"),
                ("Own routing policies", "alt_route", "routing_routingpolicy"),
                ("Answer caches", "cached", "routing_cachesettings"),
                ("Safety rules", "shield", "routing_safetyrules"),
                ("Flags", "flag", "tenants_flag"),
            )
        ),
        _allowed(
            _group(
                "Money and records",
                "manage",
                ("Quotas", "speed", "billing_quota"),
                ("Usage", "receipt_long", "billing_ledgerentry"),
                ("Safety verdicts", "gavel", "routing_safetyverdict"),
                ("Audit log", "history", "tenants_auditentry"),
            )
        ),
    ],
)
