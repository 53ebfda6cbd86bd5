"""Who was let in is asked again: before work is accepted, and together with all others while connections stay open."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import OperationalError, connections
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import User
from apps.problems import Unavailable
from apps.tenants import selectors, services, token_families
from apps.tenants.contracts import Principal, Proof, Via
from apps.tenants.edge import tokens, watch
from apps.tenants.edge.credentials import principal_of_session
from apps.tenants.edge.watch import Seat, Watch
from apps.tenants.errors import CredentialRefused
from apps.tenants.models import ApiKey, Membership, Tenant
from apps.tenants.scope import database_step, tenant_scope
from apps.tenants.standing import Register, Standing
from tests.people import new_member

STANDS, CHANGED, ENDED = Standing.STANDS, Standing.CHANGED, Standing.ENDED
End = Callable[[Principal], Any]


def by_key(principal: Principal) -> Principal:
    found = selectors.principal_for_api_key(services.create_api_key(principal, "program").secret)
    assert found is not None
    return found


def by_token(principal: Principal) -> Principal:
    return tokens.principal_of_access(tokens.issue(principal).access)


def by_session(principal: Principal) -> Principal:
    client = Client()
    client.force_login(User.objects.get(id=principal.user_id))
    session = client.session
    session["tenant_id"] = str(principal.tenant_id)
    session.save()
    request = RequestFactory().get("/")
    request.session, request.user = session, User.objects.get(id=principal.user_id)
    found = principal_of_session(request)
    assert found is not None and found.proof is not None and found.proof.session_key == session.session_key
    return found


def stands(principal: Principal) -> bool:
    try:
        with tenant_scope(principal.tenant_id):
            services.still_stands(principal)
    except CredentialRefused:
        return False
    return True


def suspend_membership(bob: Principal) -> None:
    Membership.objects.using("engine").filter(user_id=bob.user_id).update(suspended_at=datetime.now(UTC))


def remove_membership(bob: Principal) -> None:
    Membership.objects.using("engine").filter(user_id=bob.user_id).delete()


def change_role(bob: Principal) -> None:
    Membership.objects.using("engine").filter(user_id=bob.user_id).update(role="viewer")


def deactivate(bob: Principal) -> None:
    User.objects.filter(id=bob.user_id).update(is_active=False)


def suspend_tenant(bob: Principal) -> None:
    Tenant.objects.using("engine").filter(id=bob.tenant_id).update(status="suspended")


def delete_tenant(bob: Principal) -> None:
    Tenant.objects.using("engine").filter(id=bob.tenant_id).update(deleted_at=datetime.now(UTC))


def change_password(bob: Principal) -> None:
    user = User.objects.get(id=bob.user_id)
    user.set_password("another long passphrase")
    user.save(update_fields=["password"])


def revoke_key(bob: Principal) -> None:
    ApiKey.objects.using("engine").filter(id=bob.api_key_id).update(revoked_at=datetime.now(UTC))


def expire_key(bob: Principal) -> None:
    with tenant_scope(bob.tenant_id):
        ApiKey.objects.filter(id=bob.api_key_id).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))


def revoke_family(bob: Principal) -> None:
    assert bob.proof is not None and bob.proof.family is not None
    token_families.revoke(bob, bob.proof.family, "asked")


def sign_out(bob: Principal) -> None:
    assert bob.proof is not None
    Session.objects.filter(session_key=bob.proof.session_key).delete()


EVERYBODY = [suspend_membership, remove_membership, deactivate, suspend_tenant, delete_tenant]
ENDS: list[tuple[Callable[[Principal], Principal], End]] = [
    *[(by, end) for by in (by_key, by_token, by_session) for end in EVERYBODY],
    *[(by_key, revoke_key), (by_key, expire_key), (by_token, revoke_family)],
    *[(by_token, change_password), (by_session, change_password), (by_session, sign_out)],
]


@pytest.mark.parametrize(("by", "end"), ENDS)
def test_whatever_ends_a_right_ends_what_is_open(
    alice: Principal, bob: Principal, by: Callable[[Principal], Principal], end: End
) -> None:
    """In one register with others', which stand on; those of the same tenant only where the tenant itself ended."""
    register, bobs = Register(), by(bob)
    others = [by(alice), by(new_member(alice, "Carol"))]
    assert register.standings([bobs, *others]) == [STANDS, STANDS, STANDS]
    assert register.standings([bobs, *others]) == [STANDS, STANDS, STANDS]
    end(bobs)
    left = ENDED if end in (suspend_tenant, delete_tenant) else STANDS
    assert register.standings([bobs, *others]) == [ENDED, left, left]


@pytest.mark.parametrize("by", [by_key, by_token, by_session])
def test_another_role_is_a_change_and_no_end(bob: Principal, by: Callable[[Principal], Principal]) -> None:
    register, bobs = Register(), by(bob)
    change_role(bobs)
    assert register.standings([bobs]) == [CHANGED]


def test_a_session_that_works_elsewhere_now_is_a_change(alice: Principal) -> None:
    register, alices = Register(), by_session(alice)
    second = services.open_tenant("Second", alice.user_id)
    assert register.standings([alices]) == [STANDS]
    assert alices.proof is not None
    session = import_module(settings.SESSION_ENGINE).SessionStore(alices.proof.session_key)
    session["tenant_id"] = str(second.id)
    session.save()
    assert register.standings([alices]) == [CHANGED]


def test_a_session_that_names_no_tenant_works_in_the_first(alice: Principal) -> None:
    client = Client()
    client.force_login(User.objects.get(id=alice.user_id))
    request = RequestFactory().get("/")
    request.session, request.user = client.session, User.objects.get(id=alice.user_id)
    found = principal_of_session(request)
    assert found is not None and found.tenant_id == alice.tenant_id
    assert Register().standings([found]) == [STANDS]


def test_somebody_elses_session_or_family_proves_nothing(alice: Principal, bob: Principal) -> None:
    alices, bobs = by_session(alice), by_session(bob)
    assert bobs.proof is not None and alices.proof is not None
    stolen = replace(bobs, proof=replace(bobs.proof, session_key=alices.proof.session_key))
    never = replace(bobs, proof=Proof(bobs.proof.fingerprint, family=uuid4()))
    assert Register().standings([stolen, never]) == [ENDED, ENDED]


@pytest.mark.parametrize(
    ("by", "end"), [pair for pair in ENDS if pair[1] not in (sign_out, change_password)] + [(by_key, change_role)]
)
def test_nothing_is_accepted_from_who_stands_no_more(
    bob: Principal, by: Callable[[Principal], Principal], end: End
) -> None:
    bobs = by(bob)
    assert stands(bobs)
    end(bobs)
    assert not stands(bobs)


def test_asking_before_accepting_is_one_statement(bob: Principal) -> None:
    bobs = by_key(bob)
    with tenant_scope(bob.tenant_id), CaptureQueriesContext(connections["default"]) as queries:
        services.still_stands(bobs)
    assert len(queries) == 1


def test_another_tenants_scope_sees_nobody(alice: Principal, mallory: Principal) -> None:
    assert stands(alice)
    with tenant_scope(mallory.tenant_id), pytest.raises(CredentialRefused):
        services.still_stands(alice)


def test_a_suspension_waits_for_what_is_being_accepted(bob: Principal) -> None:
    """So that what was accepted is there to be found by whoever suspends."""
    lock_waits = OperationalError
    with tenant_scope(bob.tenant_id):
        services.still_stands(bob)
        with connections["engine"].cursor() as cursor, pytest.raises(lock_waits, match="lock timeout"):
            cursor.execute("SET lock_timeout = '50ms'")
            try:
                suspend_membership(bob)
            finally:
                cursor.execute("SET lock_timeout = '5000ms'")
    suspend_membership(bob)
    assert not stands(bob)


def test_a_thousand_connections_are_two_statements(alice: Principal, bob: Principal) -> None:
    """Whatever they are opened by; and people who hold many connections are asked for once."""
    crowd = [by_session(alice), by_session(bob), by_key(alice), by_token(bob)]
    crowd += [replace(by_token_row, user_id=uuid4()) for by_token_row in crowd[2:] for _ in range(200)]
    crowd += crowd[:4] * 150
    register = Register()
    assert len(crowd) == 1004
    with CaptureQueriesContext(connections["engine"]) as people, CaptureQueriesContext(connections["default"]) as own:
        first = register.standings(crowd)
    assert (len(people), len(own)) == (1, 1)
    assert first == [STANDS] * 4 + [ENDED] * 400 + [STANDS] * 600


@pytest.fixture
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "ROUND_SECONDS", 0.05)


@pytest.mark.usefixtures("quick_rounds")
async def test_a_seat_is_told_its_end_once_and_others_stay(alice: Principal, bob: Principal) -> None:
    over = Watch()
    told: list[tuple[str, Standing]] = []
    bobs = await database_step(by_key, bob)
    seats = {
        "alice": over.enter(alice, lambda standing: told.append(("alice", standing))),
        "bob": over.enter(bobs, lambda standing: told.append(("bob", standing))),
    }
    await over.ask()
    assert told == []
    await database_step(revoke_key, bobs)
    await asyncio.sleep(0.4)
    assert told == [("bob", ENDED)]
    assert (seats["alice"].standing, seats["bob"].standing) == (STANDS, ENDED)
    assert seats["alice"].is_fresh
    for seat in seats.values():
        over.leave(seat)


@pytest.mark.usefixtures("quick_rounds")
async def test_a_database_that_does_not_answer_ends_nobody(alice: Principal) -> None:
    over = Watch()
    told: list[Standing] = []
    seat = over.enter(alice, told.append)
    lost = OperationalError("the connection is lost")
    with patch.object(connections["engine"].__class__, "ensure_connection", side_effect=lost):
        with pytest.raises(Unavailable):
            await over.ask()
        await over.hurry()
        await asyncio.sleep(0.2)
    assert (told, seat.standing) == ([], STANDS)
    await asyncio.sleep(0.2)
    assert seat.is_fresh
    over.leave(seat)


async def test_who_was_not_asked_for_a_while_is_asked_before_acting(alice: Principal) -> None:
    over = Watch()
    seat = over.enter(alice, lambda standing: None)
    asked = seat.proved_at
    await over.freshen(seat)
    assert seat.proved_at == asked
    seat.proved_at = time.monotonic() - watch.FRESH_SECONDS - 1
    await asyncio.gather(*(over.freshen(seat) for _ in range(20)))
    assert seat.is_fresh
    over.leave(seat)


async def test_rounds_end_with_the_last_seat(alice: Principal, quick_rounds: None) -> None:
    over = Watch()
    for _again in range(2):
        seat = over.enter(alice, lambda standing: None)
        assert over._rounds is not None and not over._rounds.done()
        over.leave(seat)
        await asyncio.wait_for(over._rounds, 2)


def test_a_seat_never_stands_again() -> None:
    told: list[Standing] = []
    nobody = Principal(uuid4(), uuid4(), "member", "", "", "", Via.SESSION)
    seat = Seat(nobody, told.append)
    for standing in (STANDS, CHANGED, STANDS, ENDED):
        seat.take(standing, time.monotonic())
    assert (told, seat.standing) == ([CHANGED], CHANGED)
