"""Two tenants full of canaries, and what each of them is: rows, ids, credentials."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.test import Client
from psycopg import sql

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.conversations import requests, services
from apps.conversations.contracts import TurnAccepted
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants import selectors
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal, Scope
from apps.tenants.edge import tokens
from apps.tenants.models import Membership
from chaos import rows
from tests import servers
from tests.isolation.product import Call, give_back_connections
from tests.people import PASSWORD, new_address, new_member, prove_second_factor

MODEL = "probe"
# What using one's own things writes: not what another tenant did.
_VOLATILE = ("last_used_at", "last_login", "last_seen_at", "ip")
# Name of a place in a path or field of a body -> the kinds of id that belong there.
KINDS = {
    "conversation_id": ("conversations_conversation",),
    "turn_id": ("conversations_turn",),
    "generation_id": ("conversations_generation",),
    "stream_id": ("conversations_generation", "conversations_turn"),
    "stream": ("conversations_generation", "conversations_turn"),
    "message_id": ("conversations_message",),
    "key_id": ("tenants_apikey",),
    "family": ("family",),
    "user_id": ("user",),
    "person_id": ("user", "tenants_membership"),
    "membership_id": ("tenants_membership",),
    "member_id": ("tenants_membership", "tenants_teammember"),
    "team_id": ("tenants_team",),
    "group_id": ("tenants_team",),
    "invitation_id": ("tenants_invitation",),
    "rule_id": ("tenants_modelrule",),
    "provider_id": ("tenants_identityprovider", "routing_provider"),
    "tenant_id": ("tenant",),
}


@dataclass(slots=True)
class Side:
    """One tenant: its owner, and a text that stands in every place where its people can write."""

    name: str
    canary: str
    principal: Principal
    email: str
    admin: "psycopg.Connection[Any]" = field(repr=False)
    credentials: dict[str, tuple[dict[str, str], dict[str, str]]] = field(default_factory=dict, repr=False)
    finished: TurnAccepted | None = None
    queued: TurnAccepted | None = None
    _digests: "sql.Composed | None" = field(default=None, repr=False)

    @classmethod
    def new(cls, name: str, admin: "psycopg.Connection[Any]") -> "Side":
        canary = f"cnry{name}{secrets.token_hex(6)}"
        email = f"{canary}@example.org"
        user_id = accounts.register(email, f"{canary} person", PASSWORD)
        _prove_address(user_id, email)
        tenant = tenants.open_tenant(f"{canary} workspace", user_id)
        principal = selectors.principal_for(user_id, tenant.id)
        assert principal is not None
        side = cls(name, canary, principal, email, admin)
        provider_id = routing.add_provider(
            name=f"{canary} models", base_url="http://127.0.0.1:9/v1", key="any", tenant_id=tenant.id
        )
        price = NewPrice(1, 1)
        routing.register_model(provider_id=provider_id, upstream_model=MODEL, price=price, slug=side.model)
        return side

    def colleague(self) -> "Side":
        """A plain member of the same tenant, with credentials of their own."""
        person = new_member(self.principal, "Colleague")
        _prove_address(person.user_id, person.user_email)
        other = Side("colleague", self.canary, person, person.user_email, self.admin)
        other.sign_in()
        return other

    @property
    def model(self) -> str:
        """A model that this tenant alone has."""
        return f"{self.canary}-model"

    def furnish(self) -> None:
        """Use the product, and fill by hand what using it does not make."""
        self.finished = self.answered()
        self.queued = self.asked()
        rows.fill(self.admin, self.principal.tenant_id, self.principal.user_id, self.canary)
        self.sign_in()

    def asked(self, question: str = "") -> TurnAccepted:
        """A question in a new chat that waits for its answer."""
        body = {"message": question or f"{self.canary} question", "models": [MODEL], "conversation_id": None}
        return services.start_turn(self.principal, requests.turn_request(body, str(uuid4())))

    def answered(self, question: str = "", answer: str = "") -> TurnAccepted:
        """A question in a new chat with its answer, as a worker would have written it."""
        turn, text = self.asked(question), answer or f"{self.canary} answer"
        with self.admin.transaction():
            self.admin.execute(
                "UPDATE conversations_generation SET state = 'completed', finished_at = now(), finish_reason = 'stop', "
                "fence = 1, text_sha256 = %s WHERE turn_id = %s",
                [sha256(text.encode()).hexdigest(), turn.turn_id],
            )
            self.admin.execute(
                "UPDATE conversations_message SET text = %s, status = 'completed' "
                "WHERE turn_id = %s AND role = 'assistant'",
                [text, turn.turn_id],
            )
        return turn

    def sign_in(self) -> None:
        """Every kind of credential, made anew: an attack may have used up one's own."""
        key = tenants.create_api_key(self.principal, f"{self.canary} key").secret
        self.credentials = {
            "key": ({"Authorization": f"Bearer {key}"}, {}),
            "key header": ({"X-Api-Key": key}, {}),
            "token": ({"Authorization": f"Bearer {tokens.issue(self.principal, self.canary).access}"}, {}),
            "session": self._session(second_factor=False),
            "desk": self._session(second_factor=True),
        }
        if self.principal.role == Membership.Role.OWNER:
            directory = tenants.create_api_key(self.principal, f"{self.canary} directory", [Scope.SCIM]).secret
            self.credentials["directory"] = ({"Authorization": f"Bearer {directory}"}, {})

    def _session(self, *, second_factor: bool) -> tuple[dict[str, str], dict[str, str]]:
        browser = Client()
        browser.force_login(User.objects.get(id=self.principal.user_id), settings.AUTHENTICATION_BACKENDS[0])
        if second_factor:
            prove_second_factor(browser, self.principal.user_id)
        session = browser.session
        session["tenant_id"] = str(self.principal.tenant_id)
        if second_factor:
            shown = {"method": "password", "at": time.time(), "reauthenticated": True}
            session[AUTHENTICATION_METHODS_SESSION_KEY] = [*session[AUTHENTICATION_METHODS_SESSION_KEY], shown]
        session.save()
        assert isinstance(session, SessionStore)
        token = "t" * 32
        cookies = {settings.SESSION_COOKIE_NAME: str(session.session_key), settings.CSRF_COOKIE_NAME: token}
        return {"X-CSRFToken": token}, cookies

    def replace_owner(self) -> None:
        """Another owner, where an attack cost the last one their own place."""
        email = f"{self.canary}-{secrets.token_hex(4)}@example.org"
        user_id = accounts.register(email, f"{self.canary} person", PASSWORD)
        _prove_address(user_id, email)
        Membership.objects.using("engine").create(
            tenant_id=self.principal.tenant_id, user_id=user_id, role=Membership.Role.OWNER
        )
        principal = selectors.principal_for(user_id, self.principal.tenant_id)
        assert principal is not None
        self.principal, self.email = principal, email

    def call(self, method: str, path: str, credential: str = "key", **more: Any) -> Call:
        headers, cookies = self.credentials[credential]
        headers = {"Prefer": "respond-async", **headers, **more.pop("headers", {})}
        return Call(method, path, headers, cookies, address=new_address(), **more)

    def ids(self) -> dict[str, list[str]]:
        """Everything that has an id, by kind: a table's name, `tenant`, `user`, `family`."""
        found: dict[str, list[str]] = {
            "tenant": [str(self.principal.tenant_id)],
            "user": [str(self.principal.user_id)],
        }
        for table in rows.tenant_tables(self.admin):
            query = sql.SQL("SELECT id FROM {} WHERE tenant_id = %s ORDER BY id LIMIT 4")
            ids = self.admin.execute(query.format(sql.Identifier(table)), [self.principal.tenant_id])
            found[table] = [str(one) for (one,) in ids]
        families = self.admin.execute(
            "SELECT family FROM tenants_refreshtoken WHERE tenant_id = %s LIMIT 2", [self.principal.tenant_id]
        )
        found["family"] = [str(one) for (one,) in families]
        return {kind: ids for kind, ids in found.items() if ids}

    def rows(self) -> dict[str, str]:
        """A digest of everything the tenant and its people have, by table."""
        if self._digests is None:
            of_tenant = [(table, "tenant_id = %(tenant)s") for table in rows.tenant_tables(self.admin)]
            people = "SELECT user_id FROM tenants_membership WHERE tenant_id = %(tenant)s"
            of_people = [
                (table, f"{column} IN ({people})")
                for table, column in (
                    ("accounts_user", "id"),
                    ("account_emailaddress", "user_id"),
                    ("mfa_authenticator", "user_id"),
                    ("socialaccount_socialaccount", "user_id"),
                    ("usersessions_usersession", "user_id"),
                )
            ]
            self._digests = sql.SQL(" UNION ALL ").join(
                sql.SQL(
                    "SELECT {}, coalesce(md5(string_agg(r, '|' ORDER BY r)), '') FROM "
                    "(SELECT (to_jsonb(t) - %(volatile)s::text[])::text AS r FROM {} t WHERE "
                ).format(sql.Literal(table), sql.Identifier(table))
                + sql.SQL(where + ") rows")  # type: ignore[arg-type]
                for table, where in [*of_tenant, ("tenants_tenant", "id = %(tenant)s"), *of_people]
            )
        told = self.admin.execute(self._digests, {"tenant": self.principal.tenant_id, "volatile": list(_VOLATILE)})
        return dict(told.fetchall())


def _prove_address(user_id: UUID, email: str) -> None:
    EmailAddress.objects.update_or_create(user_id=user_id, email=email, defaults={"primary": True, "verified": True})


@contextmanager
def superuser() -> "Iterator[psycopg.Connection[Any]]":
    """Sees this test process's database without any wall."""
    addresses = servers.shared()
    assert addresses is not None
    base, _, _ = addresses.admin.rpartition("/")
    name = connections["default"].settings_dict["NAME"]
    with psycopg.connect(f"{base}/{name}", autocommit=True) as connection:
        yield connection


@contextmanager
def two_sides() -> "Iterator[tuple[Side, Side]]":
    """The victim and the attacker, both furnished. Nothing stays queued afterwards."""
    provider_id = routing.add_provider(name="Isolation probe", base_url="http://127.0.0.1:9/v1", key="any")
    routing.register_model(provider_id=provider_id, upstream_model=MODEL, price=NewPrice(1, 1), slug=MODEL)
    with superuser() as admin:
        sides = Side.new("a", admin), Side.new("b", admin)
        for side in sides:
            side.furnish()
        give_back_connections()
        try:
            yield sides
        finally:
            admin.execute(
                "UPDATE conversations_generation SET state = 'cancelled', owner = NULL, finished_at = now() "
                "WHERE state IN ('queued', 'running') AND model_slug = %s",
                [MODEL],
            )
