"""Workers leave, are declared dead and die: another one takes over, and readers end with the right text."""

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from apps.billing.models import Reservation
from apps.conversations import selectors
from apps.conversations.models import Worker
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask, ask, catalogue, empty_queue, pace, unhurried, workers
from tests.conversations.doors.caller import Caller
from tests.conversations.test_worker_processes import (
    Pace,
    attempts,
    first_call,
    row,
    wait_for_end,
    wait_for_text,
)
from tests.processes import Simulator
from tests.product import celery_worker, web_server

__all__ = ["ask", "catalogue", "empty_queue", "pace", "unhurried"]


def test_a_leaving_worker_hands_back_what_it_cannot_finish(
    alice: Principal, ask: Ask, unhurried: str, pace: Pace, provider_simulator: Simulator
) -> None:
    pace(4)
    with celery_worker(DRAIN_SECONDS="0.2") as leaving:
        generation_id = ask(alice, "Hand me over", unhurried).generations[0].generation_id
        wait_for_text(generation_id)
        leaving.terminate()
        assert leaving.wait(10) == 0
    handed = row(alice, generation_id)
    assert (handed.state, handed.fence, handed.claims, handed.owner) == ("queued", 1, 0, None)
    assert workers() == []
    assert attempts(alice, generation_id) == [(1, "lost", "absorbed", True)]
    call = first_call(alice, generation_id, provider_simulator)
    assert (call["closed_by_caller"], call["completed"]) == (True, False)
    pace(0)
    with celery_worker():
        ended = wait_for_end(alice, generation_id)
    assert (ended.state, ended.fence, ended.claims) == ("completed", 2, 1)
    assert attempts(alice, generation_id) == [(1, "lost", "absorbed", True), (2, "won", "charge", False)]
    with tenant_scope(alice.tenant_id):
        assert Reservation.objects.get(id=generation_id).state == "settled"


def test_a_killed_workers_answer_is_written_anew_and_readers_end_with_it(
    alice: Principal,
    ask: Ask,
    unhurried: str,
    pace: Pace,
    provider_simulator: Simulator,
    api_key_of: Callable[[Principal], str],
) -> None:
    pace(4)
    with web_server("daphne") as web, celery_worker() as killed, ThreadPoolExecutor(2) as readers:
        caller = Caller(web.url, api_key_of(alice))
        turn = ask(alice, "Survive", unhurried)
        generation_id = turn.generations[0].generation_id
        live = readers.submit(caller.follow, str(generation_id))
        whole_turn = readers.submit(caller.follow, str(turn.turn_id), None, "html")
        wait_for_text(generation_id)
        killed.kill(signal.SIGKILL)
        pace(0)
        with celery_worker():
            ended = wait_for_end(alice, generation_id)
            lanes = [reading.result(timeout=10).only.check() for reading in (live, whole_turn)]
        caller.close()
    assert (ended.state, ended.fence, ended.claims) == ("completed", 2, 2)
    stored = selectors.answer(alice, generation_id).text
    for lane in lanes:
        assert lane.text == stored
        assert {event.position[0] for event in lane.events} == {1, 2}
    assert attempts(alice, generation_id) == [(1, "lost", "absorbed", True), (2, "won", "charge", False)]
    assert first_call(alice, generation_id, provider_simulator)["completed"] is False


def test_a_worker_declared_dead_lets_go_and_goes_on_as_another(
    alice: Principal, ask: Ask, unhurried: str, pace: Pace, provider_simulator: Simulator
) -> None:
    pace(4)
    with celery_worker():
        generation_id = ask(alice, "Zombie", unhurried).generations[0].generation_id
        wait_for_text(generation_id)
        pace(0)
        (dead,) = workers()
        Worker.objects.using("engine").filter(id=dead).delete()
        ended = wait_for_end(alice, generation_id)
        assert workers() != [dead]
    assert (ended.state, ended.fence, ended.claims) == ("completed", 2, 2)
    assert attempts(alice, generation_id) == [(1, "lost", "absorbed", True), (2, "won", "charge", False)]
    assert first_call(alice, generation_id, provider_simulator)["closed_by_caller"] is True
