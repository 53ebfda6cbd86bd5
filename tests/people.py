"""Alice and Bob in one tenant, Mallory in another, made anew for each test."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.mfa.models import Authenticator
from django.conf import settings as django_settings
from django.test import Client
from django.test.utils import override_settings

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.tenants import selectors, services
from apps.tenants.contracts import Principal
from apps.tenants.models import Membership

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody who may open the administration."""

    id: UUID
    email: str
    password: str


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    hashers = ["tests.hashers.QuickPBKDF2", *django_settings.PASSWORD_HASHERS]
    with override_settings(PASSWORD_HASHERS=hashers):
        yield


def new_person(name: str) -> tuple[UUID, str]:
    """An account of its own, as (id, e-mail address); the password is `PASSWORD`."""
    email = f"{name.lower()}-{uuid4().hex[:12]}@example.org"
    return accounts.register(email, name, PASSWORD), email


def new_owner(name: str, tenant_name: str) -> Principal:
    """A person with a tenant of their own."""
    user_id, _email = new_person(name)
    tenant = services.open_tenant(tenant_name, user_id)
    principal = selectors.principal_for(user_id, tenant.id)
    assert principal is not None
    return principal


def new_member(of: Principal, name: str, role: str = "member") -> Principal:
    """A new person in the tenant of `of`."""
    user_id, _email = new_person(name)
    Membership.objects.using("engine").create(tenant_id=of.tenant_id, user_id=user_id, role=role)
    principal = selectors.principal_for(user_id, of.tenant_id)
    assert principal is not None
    return principal


@pytest.fixture
def alice() -> Principal:
    """Owner of a tenant made for this test."""
    return new_owner("Alice", "Northwind")


@pytest.fixture
def bob(alice: Principal) -> Principal:
    """A plain member of Alice's tenant."""
    return new_member(alice, "Bob")


@pytest.fixture
def mallory() -> Principal:
    """Owner of another tenant, who should see nothing of Alice's."""
    return new_owner("Mallory", "Southwind")


@pytest.fixture
def api_key_of() -> Callable[[Principal], str]:
    """Makes an unrestricted API key for a principal and returns its secret."""

    def make(principal: Principal) -> str:
        return services.create_api_key(principal, "test").secret

    return make


@pytest.fixture
def operator() -> Operator:
    email = f"operator-{uuid4().hex[:12]}@example.org"
    return Operator(accounts.create_operator(email, "Olga", PASSWORD), email, PASSWORD)


def prove_second_factor(client: Client, user_id: UUID) -> None:
    """Let a signed-in browser have shown a second factor just now, as the administration demands it."""
    Authenticator.objects.get_or_create(
        user_id=user_id, type=Authenticator.Type.TOTP, defaults={"data": {"secret": "not used"}}
    )
    session = client.session
    shown = {"method": "mfa", "at": time.time(), "type": "totp"}
    session[AUTHENTICATION_METHODS_SESSION_KEY] = [*session.get(AUTHENTICATION_METHODS_SESSION_KEY, []), shown]
    session["account_authentication_methods_user"] = str(user_id)
    session.save()


def new_address() -> str:
    """An IP address that no other test uses, for throttles."""
    return f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


@pytest.fixture
def visitor() -> Client:
    """A browser of nobody, at an address of its own; CSRF is checked as in production."""
    return Client(enforce_csrf_checks=True, REMOTE_ADDR=new_address())


def session_of(principal: Principal) -> Client:
    """A signed-in browser of a principal, without going through the sign-in page."""
    client = Client(REMOTE_ADDR=new_address())
    client.force_login(User.objects.get(id=principal.user_id))
    session = client.session
    session["tenant_id"] = str(principal.tenant_id)
    session.save()
    return client


@pytest.fixture
def client_of() -> Callable[[Principal], Client]:
    return session_of
