"""Answers that only a worker with litellm can give, from the question to the ledger, with real worker processes."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from apps.conversations import selectors
from apps.conversations.contracts import GenerationState
from apps.routing import services as routing
from apps.routing.models import LanguageModel, Provider
from apps.tenants.contracts import Principal
from onebox.process import Process
from tests.conversations.conftest import PRICE, Ask, ask, catalogue, empty_queue
from tests.conversations.test_worker_processes import attempts, first_call, row, wait_for_end
from tests.processes import Simulator
from tests.product import celery_worker

__all__ = ["ask", "catalogue", "empty_queue"]


@pytest.fixture
def offered(provider_simulator: Simulator) -> Iterator[tuple[str, str]]:
    """A model that only litellm reaches, and one whose own provider is broken and that falls back to the first."""
    name = uuid4().hex[:12]
    wide = routing.add_provider(
        name=f"Wide {name}", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, adapter="litellm"
    )
    plain = routing.add_provider(
        name=f"Plain {name}", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    there, broken = f"wide-{name}", f"broken-{name}"
    routing.register_model(provider_id=wide, upstream_model="openai/bench+tokens=30", price=PRICE, slug=there)
    routing.register_model(provider_id=plain, upstream_model="bench+fault=500", price=PRICE, slug=broken)
    LanguageModel.objects.using("engine").filter(slug=broken).update(fallbacks={"any": [there]})
    routing.invalidate()
    yield there, broken
    Provider.objects.using("engine").filter(id__in=[wide, plain]).update(enabled=False)
    routing.invalidate()


def _memory_mb(worker: Process) -> float:
    (line,) = (one for one in Path(f"/proc/{worker.pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def test_an_answer_waits_for_the_worker_that_can_give_it(
    alice: Principal, ask: Ask, offered: tuple[str, str], provider_simulator: Simulator
) -> None:
    with celery_worker() as ordinary:
        waiting = ask(alice, "Who answers?", offered[0]).generations[0].generation_id
        beside = ask(alice, "And this?", "quick").generations[0].generation_id
        assert wait_for_end(alice, beside).state == "completed"
        time.sleep(routing.QUEUE_PATIENCE_SECONDS + 1.5)
        assert selectors.standing(alice, waiting)[0] is GenerationState.QUEUED
        with celery_worker(WORKER_QUEUE="litellm") as wide:
            ended = wait_for_end(alice, waiting)
            assert _memory_mb(wide) > _memory_mb(ordinary) + 80, "only one of them holds the package"
            begun = time.monotonic()
            again = ask(alice, "Quick now", offered[0]).generations[0].generation_id
            assert wait_for_end(alice, again).state == "completed"
            assert time.monotonic() - begun < 5
    assert (ended.state, ended.claims, ended.finish_reason) == ("completed", 1, "stop")
    assert attempts(alice, waiting) == [(1, "won", "charge", False)]
    call = first_call(alice, waiting, provider_simulator)
    assert call["completed"]
    assert ended.usage["output_tokens"] == call["tokens_sent"]


def test_a_fallback_is_used_where_it_can_be_and_hung_on_nowhere(
    alice: Principal, ask: Ask, offered: tuple[str, str]
) -> None:
    with celery_worker():
        passed_over = ask(alice, "Without it", offered[1]).generations[0].generation_id
        ended = wait_for_end(alice, passed_over)
        assert ended.state == "failed", "the own provider is broken, and the fallback cannot be called here"
    with celery_worker(WORKER_QUEUE="litellm"):
        rescued = ask(alice, "With it", offered[1]).generations[0].generation_id
        ended = wait_for_end(alice, rescued)
    assert ended.state == "completed"
    assert row(alice, rescued).route["answered_by"]["model"] == "openai/bench+tokens=30"
