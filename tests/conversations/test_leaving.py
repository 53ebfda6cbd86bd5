"""Who stands no more asks nothing, and the answers of somebody who leaves are stopped."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import connections

from apps.billing.models import Reservation
from apps.conversations import services
from apps.conversations.contracts import GenerationState, TurnAccepted
from apps.conversations.models import Generation, Turn
from apps.tenants import selectors
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from apps.tenants.errors import CredentialRefused
from apps.tenants.models import ApiKey, Membership
from apps.tenants.scope import tenant_scope
from tests.product import eventually

Ask = Callable[..., TurnAccepted]
MANY = 400


def by_key(principal: Principal) -> Principal:
    found = selectors.principal_for_api_key(tenants.create_api_key(principal, "program").secret)
    assert found is not None
    return found


def revoked_elsewhere(key: Principal) -> None:
    """As another process does it: this one goes on remembering the key."""
    ApiKey.objects.using("engine").filter(id=key.api_key_id).update(revoked_at=datetime.now(UTC))


def membership_id(principal: Principal) -> UUID:
    rows = Membership.objects.using("engine").filter(tenant_id=principal.tenant_id, user_id=principal.user_id)
    return rows.values_list("id", flat=True).get()


def turns_of(principal: Principal) -> int:
    with tenant_scope(principal.tenant_id):
        return Turn.objects.filter(user_id=principal.user_id).count()


def states(principal: Principal) -> list[str]:
    with tenant_scope(principal.tenant_id):
        rows = Generation.objects.filter(user_id=principal.user_id).order_by("id")
        return list(rows.values_list("state", flat=True))


def open_reservations(principal: Principal) -> int:
    with tenant_scope(principal.tenant_id):
        return Reservation.objects.filter(user_id=principal.user_id, state="open").count()


def test_a_revoked_key_is_refused_on_the_next_question(alice: Principal, ask: Ask) -> None:
    key = by_key(alice)
    first = ask(key, "Before?", key="first")
    revoked_elsewhere(key)
    for repeat in (None, "first", "second"):
        with pytest.raises(CredentialRefused):
            ask(key, "Before?", key=repeat)
    with pytest.raises(CredentialRefused):
        services.retry(key, first.generations[0].generation_id)
    assert turns_of(alice) == 1
    assert open_reservations(alice) == 1  # the first question's; a refusal holds nothing
    assert ask(alice, "By another credential?").turn_id


def test_another_role_is_not_asked_under_the_old_one(bob: Principal, ask: Ask) -> None:
    Membership.objects.using("engine").filter(user_id=bob.user_id).update(role="viewer")
    with pytest.raises(CredentialRefused):
        ask(bob, "Still a member?")
    assert turns_of(bob) == 0


def test_answers_of_who_leaves_are_stopped_and_nobody_elses(
    alice: Principal, bob: Principal, ask: Ask, new_worker: Callable[..., UUID]
) -> None:
    queued, running, alices = ask(bob, "Queued?"), ask(bob, "Running?"), ask(alice, "Hers?")
    second = tenants.open_tenant("Second", bob.user_id)
    elsewhere = selectors.principal_for(bob.user_id, second.id)
    assert elsewhere is not None
    far = ask(elsewhere, "Elsewhere?")
    running_id = running.generations[0].generation_id
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_generation SET state = 'running', owner = %s, fence = 1 WHERE id = %s",
            [new_worker(), running_id],
        )
    ended = tenants.offboard(alice, membership_id(bob))
    assert ended.answers == 2
    with tenant_scope(bob.tenant_id):
        rows = {row.id: row for row in Generation.objects.all()}
    assert rows[queued.generations[0].generation_id].state == GenerationState.CANCELLED
    assert (rows[running_id].state, rows[running_id].cancel_at is not None) == (GenerationState.RUNNING, True)
    assert rows[alices.generations[0].generation_id].state == GenerationState.QUEUED
    assert rows[alices.generations[0].generation_id].cancel_at is None
    assert states(elsewhere) == [GenerationState.QUEUED]
    assert open_reservations(bob) == 1  # the running one's, until its worker has obeyed
    assert far.turn_id
    with pytest.raises(CredentialRefused):
        ask(bob, "After all?")


def test_a_question_beside_the_leaving_is_refused_or_stopped(alice: Principal, bob: Principal, ask: Ask) -> None:
    """Never accepted and left to run: either it is seen by whoever ends things, or it sees that they have ended."""

    accepted: list[TurnAccepted] = []

    def ask_until_refused(number: int) -> bool:
        try:
            while len(accepted) < MANY:
                accepted.append(ask(bob, f"Question of {number}?"))
        except CredentialRefused:
            return True
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()
        return False

    with ThreadPoolExecutor(4) as threads:
        refused = [threads.submit(ask_until_refused, number) for number in range(4)]
        eventually(lambda: len(accepted) > 3)
        tenants.offboard(alice, membership_id(bob))
        assert all(one.result() for one in refused)
    assert states(bob) == [GenerationState.CANCELLED] * len(accepted)
    assert open_reservations(bob) == 0
