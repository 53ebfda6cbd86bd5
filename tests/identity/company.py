"""A company's identity provider, as a process of its own: allauth's OpenID provider in a project of one file.

`python -m tests.identity.company FOLDER` prints its address. Under /<anything>/ (or /<directory>/v2.0/, as at Entra)
is an issuer of that name, all of them with the same people. /control/ takes JSON: people, clients, and faults, which
change what the next ID tokens say.
"""

import base64
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
FAULTS: dict[str, Any] = {}


def _pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*kinds).decode()


def _configure() -> None:
    settings.configure(
        SECRET_KEY="company" * 8,
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "company.sqlite3"}},
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        USE_TZ=True,
        SESSION_COOKIE_NAME="company",  # cookies know no ports, and our own server is on this host, too
        ROOT_URLCONF="tests.identity.company",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.idp.oidc",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        IDP_OIDC_ADAPTER="tests.identity.company_adapter.Adapter",
        IDP_OIDC_PRIVATE_KEY=_pem(),
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    )


def control(request: Any) -> Any:
    """{"person": {...}} signs a browser in; {"client": {...}} registers one; {"faults": {...}} replaces the faults."""
    from allauth.idp.oidc.models import Client
    from django.contrib.auth import get_user_model, login
    from django.http import JsonResponse

    asked = json.loads(request.body)
    if "faults" in asked:
        FAULTS.clear()
        FAULTS.update(asked["faults"])
    if client := asked.get("client"):
        kept, _ = Client.objects.get_or_create(id=client["id"], defaults={"name": client["id"], "skip_consent": True})
        kept.set_secret(client["secret"])
        kept.redirect_uris = "\n".join(client["redirect_uris"])
        kept.scopes = "openid\nprofile\nemail"
        kept.save()
    told: dict[str, Any] = {}
    if person := asked.get("person"):
        user, _ = get_user_model().objects.update_or_create(
            username=person["login"], defaults={"email": person["email"], "first_name": person["name"]}
        )
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        request.session.save()
        told = {"sessionid": request.session.session_key, "sub": str(user.pk)}
    return JsonResponse(told)


def token(request: Any) -> Any:
    """allauth's token endpoint; on demand its ID token is changed after it was signed."""
    from allauth.idp.oidc import views
    from django.http import JsonResponse

    answer = views.token(request)
    if FAULTS.get("tamper") and answer.status_code == 200:
        body = json.loads(answer.content)
        head, payload, signature = body["id_token"].split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
        claims |= FAULTS["tamper"]
        payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        if FAULTS.get("unsigned"):
            head, signature = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode(), ""
        body["id_token"] = f"{head}.{payload}.{signature}"
        return JsonResponse(body)
    return answer


def _urls() -> list[Any]:
    from django.urls import include, path
    from django.views.decorators.csrf import csrf_exempt

    return [
        path("control/", csrf_exempt(control)),
        path("identity/o/api/token", csrf_exempt(token)),
        path("", include("allauth.idp.urls")),
    ]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A test's output is no place for an access log."""


_ISSUER = re.compile(r"(/[0-9a-f-]{36}/v2\.0|/[a-z]+)(/.+)\Z")


def _issuers(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The first part of a path is the issuer's name, and Django's script name."""

    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        found = _ISSUER.match(environ["PATH_INFO"])
        if found and not environ["PATH_INFO"].startswith("/control/"):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = found.groups()
        return application(environ, start)

    return answer


if __name__ == "__main__":
    sys.modules["tests.identity.company"] = sys.modules["__main__"]
    _configure()
    django.setup()
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    call_command("migrate", verbosity=0)
    urlpatterns = _urls()
    server = make_server("127.0.0.1", 0, _issuers(get_wsgi_application()), _Server, _Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
