"""From a credential to a principal: bearer tokens, API keys and the session cookie, at every kind of door."""

from collections.abc import Callable, Collection, Iterable, MutableMapping
from dataclasses import replace
from importlib import import_module
from typing import Any, TypeVar

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, parse_cookie

from apps.accounts import selectors as accounts
from apps.tenants import key_secrets, selectors, services
from apps.tenants.contracts import Principal, Proof, Scope, Via, tenant_of_session
from apps.tenants.edge import oauth_tokens, tokens
from apps.tenants.edge.problems import translate
from apps.tenants.errors import CredentialRefused, InsufficientScope
from apps.tenants.scope import database_step

T = TypeVar("T")


def bearer_of(request: HttpRequest) -> str | None:
    """The token or key a request carries in its headers; None when it carries none.

    Other schemes of `Authorization` (a proxy's Basic, say) are not ours and are left alone.
    """
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.headers.get("X-Api-Key")


def principal_of_credential(credential: str) -> Principal:
    """Whom an access token or API key speaks for. Raises `CredentialRefused`."""
    if not credential.startswith(key_secrets.MARK):
        return oauth_tokens.principal_of_oauth_token(credential) or tokens.principal_of_access(credential)
    principal = selectors.principal_for_api_key(credential)
    if principal is None or principal.api_key_id is None:
        raise CredentialRefused("This API key is unknown, expired or revoked, or its workspace is not active.")
    services.touch_api_key(principal.api_key_id)
    return principal


def principal_of_session(request: HttpRequest) -> Principal | None:
    """Whom the session cookie speaks for: the signed-in person, in the tenant chosen when signing in."""
    user = request.user
    if not user.is_authenticated:
        return None
    principal = selectors.principal_for(user.pk, tenant_of_session(request.session), via=Via.SESSION)
    if principal is None:
        return None
    return replace(principal, proof=Proof(accounts.fingerprint(user), session_key=request.session.session_key))


def require_scope(principal: Principal, scopes: Collection[Scope]) -> None:
    """Raises `InsufficientScope` when the credential is restricted to doors that none of these scopes opens.

    A directory's doors are opened by a key made for them, and by nothing that merely is not restricted.
    """
    if Scope.SCIM in scopes and principal.scopes != {Scope.SCIM}:
        raise InsufficientScope("Only a directory's key opens this. An administrator makes one in the settings.")
    if not principal.opens(scopes):
        raise InsufficientScope(
            f"This API key is restricted to: {', '.join(sorted(principal.scopes))}. Make one with more scopes."
        )


_GATEWAY = {
    "/v1/chat/completions": frozenset({Scope.CHAT, Scope.COMPLETIONS}),
    "/v1/responses": frozenset({Scope.CHAT, Scope.RESPONSES}),
    "/v1/messages": frozenset({Scope.CHAT, Scope.MESSAGES}),
    "/v1/messages/count_tokens": frozenset({Scope.CHAT, Scope.MESSAGES}),
    "/v1/embeddings": frozenset({Scope.CHAT, Scope.EMBEDDINGS}),
}
# Programs ask for it before anything else; it names what the caller may ask, and nothing more.
_MODELS = frozenset({Scope.READ}).union(*_GATEWAY.values())
_CHAT, _CHAT_READ = frozenset({Scope.CHAT}), frozenset({Scope.CHAT, Scope.READ})
_MANAGE, _MANAGE_READ = frozenset({Scope.MANAGE}), frozenset({Scope.MANAGE, Scope.READ})
_SCIM, _NONE = frozenset({Scope.SCIM}), frozenset[Scope]()


def scopes_of_door(method: str, path: str) -> frozenset[Scope]:
    """The scopes of which each opens a door; pages are opened by none."""
    reads = method in ("GET", "HEAD")
    if path.startswith("/v1/"):
        if reads and (path == "/v1/models" or path.startswith("/v1/models/")):
            return _MODELS
        return _GATEWAY.get(path) or (_CHAT_READ if reads else _CHAT)
    if path.startswith("/scim/"):
        return _SCIM
    if path.startswith("/api/"):
        return _MANAGE_READ if reads else _MANAGE
    return _NONE


async def principal_of_token(token: str) -> Principal:
    """For a WebSocket's first message. Raises `CredentialRefused`, `InsufficientScope`, `Unavailable`."""

    def step() -> Principal:
        principal = principal_of_credential(token)
        require_scope(principal, _CHAT)
        return principal

    return await _told(step)


async def principal_of_scope(scope: MutableMapping[str, Any]) -> Principal | None:
    """For a WebSocket's handshake: whom its session cookie speaks for, None for nobody. Raises `Unavailable`.

    A browser sends the cookie with the handshake of any page on this host, whatever its port, so the cookie counts
    for our own pages alone.
    """
    headers = list(scope.get("headers", ()))
    session_key = _session_key(headers)
    if session_key is None or not _from_our_own_page(headers):
        return None

    def step() -> Principal | None:
        request = HttpRequest()
        request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
        request.user = auth.get_user(request)
        return principal_of_session(request)

    return await _told(step)


async def _told(step: Callable[[], T]) -> T:
    """Run a database step; an infrastructure that does not answer is told as a problem."""
    try:
        return await database_step(step)
    except Exception as error:
        problem = translate(error)
        if problem is None or problem is error:
            raise
        raise problem from error


def _from_our_own_page(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Django's rule for changes, held up to a handshake: Origin is the address asked for, or one that is trusted."""
    told = {name.lower(): value.decode("latin-1").lower() for name, value in headers}
    origin, host = told.get(b"origin", ""), told.get(b"host", "")
    schemes = ("https",) if settings.SESSION_COOKIE_SECURE else ("http", "https")
    return origin in settings.CSRF_TRUSTED_ORIGINS or (host != "" and origin in {f"{one}://{host}" for one in schemes})


def _session_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    cookies = "; ".join(value.decode("latin-1") for name, value in headers if name.lower() == b"cookie")
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME, "")
    return key if is_session_key(key) else None


def is_session_key(text: str) -> bool:
    """Whether a cookie's value could be the key of a session; anything else need not be looked for."""
    return 8 <= len(text) <= 40 and text.isascii() and text.isalnum()
