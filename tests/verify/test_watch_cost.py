"""What it costs to watch over a thousand connections of a thousand people: two statements, and little time."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connections
from django.test.utils import CaptureQueriesContext
from uuid6 import uuid7

from apps.accounts.models import User
from apps.accounts.selectors import fingerprint
from apps.tenants.contracts import SESSION_TENANT, Principal, Proof
from apps.tenants.models import Membership
from apps.tenants.standing import Register, Standing

PEOPLE = 1_000
ROUND_SECONDS = 0.25  # of a round that comes every two seconds


def crowd_of(tenant_id: UUID) -> list[Principal]:
    """A thousand members, each with a session of their own."""
    users = [
        User(id=uuid7(), email=f"{uuid7().hex}@example.org", name="One of many", password=f"!{uuid7().hex}")
        for _ in range(PEOPLE)
    ]
    User.objects.using("engine").bulk_create(users)
    Membership.objects.using("engine").bulk_create(
        [Membership(tenant_id=tenant_id, user_id=user.id, role="member") for user in users]
    )
    store, ends = import_module(settings.SESSION_ENGINE).SessionStore(), datetime.now(UTC) + timedelta(days=1)
    told = [{SESSION_KEY: str(user.id), SESSION_TENANT: str(tenant_id), "csrf": "x" * 64} for user in users]
    keys = [uuid7().hex for _ in users]
    Session.objects.bulk_create(
        [
            Session(session_key=key, session_data=store.encode(data), expire_date=ends)
            for key, data in zip(keys, told, strict=True)
        ]
    )
    return [
        Principal(
            user.id, tenant_id, "member", user.name, user.email, "", "session", proof=Proof(fingerprint(user), key)
        )  # type: ignore[arg-type]
        for user, key in zip(users, keys, strict=True)
    ]


def test_a_round_for_a_thousand_people(alice: Principal) -> None:
    crowd = crowd_of(alice.tenant_id)
    register = Register()
    assert register.standings(crowd) == [Standing.STANDS] * PEOPLE
    seconds, cpu_seconds = [], []
    for _round in range(5):
        began, used = time.perf_counter(), time.process_time()
        with (
            CaptureQueriesContext(connections["engine"]) as people,
            CaptureQueriesContext(connections["default"]) as own,
        ):
            assert set(register.standings(crowd)) == {Standing.STANDS}
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - used)
        assert (len(people), len(own)) == (1, 1)
    print(f"a round: {min(seconds) * 1000:.0f} ms, of which CPU here {min(cpu_seconds) * 1000:.0f} ms")
    assert min(seconds) < ROUND_SECONDS
    Session.objects.filter(session_key=crowd[500].proof.session_key).delete()  # type: ignore[union-attr]
    Membership.objects.using("engine").filter(user_id=crowd[700].user_id).update(role="viewer")
    standings = register.standings(crowd)
    assert (standings[500], standings[700]) == (Standing.ENDED, Standing.CHANGED)
    assert standings.count(Standing.STANDS) == PEOPLE - 2
    assert register.standings([replace(crowd[0], role="owner")]) == [Standing.CHANGED]
