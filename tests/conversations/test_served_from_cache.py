"""An answer from the cache in a chat: no attempt, no ledger line, and the route says where it came from."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command

from apps.billing.models import LedgerEntry, Reservation
from apps.conversations import requests, selectors, services
from apps.conversations.contracts import GenerationState, Sent, TurnAccepted
from apps.conversations.edge.answer_views import turn_view
from apps.conversations.errors import InvalidMessage
from apps.conversations.generation.ports import Limits
from apps.conversations.generation.runtime import Options, WorkerRuntime
from apps.conversations.models import Attempt, Generation
from apps.routing import cache_settings
from apps.routing.contracts import CacheUse
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from apps.tenants.scope import tenant_scope
from tests.conversations.answering import ended, launch_next
from tests.conversations.conftest import Ask

Answer = Callable[[Principal, TurnAccepted], list[Generation]]


@pytest.fixture
def answered(runtime: WorkerRuntime) -> Answer:
    """Answer every lane of a turn here; its generations, left to right, once they are final."""

    def run(principal: Principal, turn: TurnAccepted) -> list[Generation]:
        for _ in turn.generations:
            launch_next(runtime)
        return [ended(principal, one.generation_id) for one in turn.generations]

    return run


@pytest.fixture
def working(catalogue: dict[str, str]) -> Iterator[None]:
    """A worker's loop that claims by itself."""
    runtime = WorkerRuntime(Options(slots=4, drain_seconds=0.1, limits=Limits(5, 5, 5, 100_000)), ring=lambda _: None)
    runtime.start()
    yield
    runtime.drain()


@pytest.mark.usefixtures("working")
def test_warming_asks_through_the_usual_door_and_leaves_no_chat(alice: Principal, tmp_path: Path) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("What is warm?\n\nWhat is warmer?\n", encoding="utf-8")
    slug = Tenant.objects.using("engine").values_list("slug", flat=True).get(id=alice.tenant_id)
    named = [str(file), "--tenant", slug, "--email", alice.user_email, "--model"]
    with pytest.raises(CommandError, match="no cache switched on"):
        call_command("warm_cache", *named, "quick")
    cache_settings.change_rules(alice, exact=True)
    out = StringIO()
    call_command("warm_cache", *named, "quick", stdout=out)
    assert out.getvalue() == "2 of 2 questions are answered.\n"
    assert selectors.conversation_list(alice) == []
    call_command("warm_cache", *named, "quick", stdout=out)
    with tenant_scope(alice.tenant_id):
        routes = list(Generation.objects.order_by("queued_at").values_list("route", flat=True))
    assert [route["cache"] is None for route in routes] == [True, True, False, False]
    with pytest.raises(CommandError, match="line 1: There is no model"):
        call_command("warm_cache", *named, "nothing-like-it")


def bought(principal: Principal, generation_id: UUID) -> tuple[int, int]:
    """Attempts and ledger lines of a generation."""
    with tenant_scope(principal.tenant_id):
        assert Reservation.objects.get(id=generation_id).state == "settled"
        return (
            Attempt.objects.filter(generation_id=generation_id).count(),
            LedgerEntry.objects.filter(call_id=generation_id).count(),
        )


def test_the_second_chat_is_answered_for_nothing_and_says_so(alice: Principal, ask: Ask, answered: Answer) -> None:
    cache_settings.change_rules(alice, exact=True)
    question = "What is a lease, once and for all?"
    (first,) = answered(alice, ask(alice, question))
    turn = ask(alice, question)
    (second,) = answered(alice, turn)
    assert (second.state, second.text_sha256) == (GenerationState.COMPLETED, first.text_sha256)
    assert (bought(alice, first.id), bought(alice, second.id)) == ((1, 1), (0, 0))
    assert first.route["cache"] is None
    hit = second.route["cache"]
    assert (hit["kind"], hit["saved_output_tokens"], second.cost_nanousd) == ("exact", 12, 0)
    assert round(float(hit["saved_usd"]) * 1e9) == first.cost_nanousd
    assert second.route["answered_by"] == first.route["answered_by"]
    timeline = selectors.timeline(alice, turn.conversation_id)
    (answer,) = turn_view(timeline.turns[0], timeline.lanes).answers
    assert "Served from cache" in answer.facts
    assert answer.why is not None
    told = dict(answer.why["facts"])
    assert "less than a minute ago" in told["Served from cache"]
    assert "tokens in, 12 out" in told["Saved"]
    assert (told["Attempts"], answer.from_cache) == ("No provider was called", True)
    assert answer.why["candidates"][0]["outcome"] == "Not called: the cache had the answer"
    assert answer.why["candidates"][0]["counted"] == "", "no policy chose it"
    shown = selectors.prompt(alice, second.id)
    assert (shown.sent, shown.is_as_sent) == (Sent.FROM_CACHE, None)
    assert selectors.prompt(alice, first.id).sent is Sent.AS_SHOWN

    again = services.retry(alice, second.id)
    (third,) = answered(alice, replace(turn, generations=(again,)))
    assert (third.route["cache"], bought(alice, third.id)) == (None, (1, 1))


def test_a_model_that_is_asked_twice_at_once_gives_two_answers(alice: Principal, ask: Ask, answered: Answer) -> None:
    cache_settings.change_rules(alice, exact=True)
    answered(alice, ask(alice, "Twice?"))
    rows = answered(alice, ask(alice, "Twice?", "quick", "quick", "swift"))
    assert [row.route["cache"] for row in rows] == [None, None, None]
    assert answered(alice, ask(alice, "Twice?"))[0].route["cache"] is not None


@pytest.mark.parametrize(
    ("field", "header", "use"),
    [
        (None, "", CacheUse.USE),
        (None, "max-age=0, No-Cache", CacheUse.BYPASS),
        (None, "no-store", CacheUse.NO_STORE),
        ("bypass", "", CacheUse.BYPASS),
        ("no_store", "no-cache", CacheUse.NO_STORE),
        ("use", "no-cache", CacheUse.USE),
    ],
)
def test_what_a_caller_wants_of_the_caches(field: str | None, header: str, use: CacheUse) -> None:
    asked = requests.turn_request({"message": "Hi", "cache": field}, None, header)
    assert asked.cache is use
    plain = requests.turn_request({"message": "Hi"}, None)
    # A browser's own header must not make another question of one that is sent again.
    assert (asked.digest == plain.digest) is (field in (None, "use"))


@pytest.mark.parametrize("value", ["never", 1, [], {}])
def test_a_wish_nobody_knows_is_refused(value: object) -> None:
    with pytest.raises(InvalidMessage) as refused:
        requests.turn_request({"message": "Hi", "cache": value}, None)
    assert set(refused.value.fields or {}) == {"cache"}
