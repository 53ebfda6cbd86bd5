"""Programs that may ask people to sign in here. Operators register them, for every tenant of the installation."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from allauth.idp.oidc.adapter import get_adapter
from allauth.idp.oidc.models import Client
from django.db import transaction

from apps.accounts.contracts import is_storable
from apps.problems import Invalid
from apps.tenants import audit

SCOPES = ("openid", "profile", "email", "chat", "manage")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_NEVER = frozenset({"javascript", "data", "file", "vbscript", "blob", "about"})


class InvalidOAuthClient(Invalid):
    """The program cannot be registered like this."""

    code = "invalid_oauth_client"


@dataclass(frozen=True, slots=True)
class NewOAuthClient:
    """A program at the one moment its secret is known; a public one has none."""

    id: str
    secret: str = field(repr=False)


def create(
    name: str, redirect_uris: Sequence[str], scopes: Sequence[str], actor: audit.Actor, *, confidential: bool = False
) -> NewOAuthClient:
    """Register a program, as `engine`. Raises `InvalidOAuthClient`."""
    name = name.strip()
    if not name or len(name) > 100 or not is_storable(name):
        raise InvalidOAuthClient("Give the program a name of at most 100 characters.")
    if not redirect_uris or not all(map(_is_safe, redirect_uris)):
        raise InvalidOAuthClient("A redirect URI is https://…, http://127.0.0.1/…, or has the program's own scheme.")
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise InvalidOAuthClient(f"Unknown scopes: {', '.join(unknown)}. Known: {', '.join(SCOPES)}.")
    secret = get_adapter().generate_client_secret() if confidential else ""
    client = Client(
        name=name,
        type=Client.Type.CONFIDENTIAL if confidential else Client.Type.PUBLIC,
        redirect_uris="\n".join(redirect_uris),
        scopes="\n".join(scopes),
        default_scopes="openid",
        grant_types="authorization_code\nrefresh_token",
        response_types="code",
    )
    if confidential:
        client.set_secret(secret)
    with transaction.atomic(using="engine"):
        client.save(using="engine", force_insert=True)
        audit.record(
            None,
            actor,
            "oauth_client.made",
            target=("oauth_client", client.id),
            data={"name": name, "redirect_uris": list(redirect_uris), "scopes": list(scopes), "type": client.type},
            using="engine",
        )
    return NewOAuthClient(client.id, secret)


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if not address.isascii() or not address.isprintable() or parts.fragment or "@" in parts.netloc or "*" in address:
        return False
    if parts.scheme == "http":
        return parts.hostname in _LOOPBACK
    # A scheme of a program's own is its reversed domain name (RFC 8252), so it holds a dot.
    return bool(parts.netloc) if parts.scheme == "https" else "." in parts.scheme and parts.scheme not in _NEVER
