"""A catalogue of simulated models, and a queue that is empty when a test begins."""

import json
from collections.abc import Callable, Iterator
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

import pytest
from django.db import connections

from apps.conversations import requests, services
from apps.conversations.contracts import TurnAccepted
from apps.conversations.generation.ports import Limits
from apps.conversations.generation.runtime import Options, WorkerRuntime
from apps.conversations.models import Worker
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.product import eventually

# Answers that `runtime` has room for at once.
SLOTS = 4
PRICE = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)
# Slug on our side -> name on the simulator's, which carries speed, length and faults.
MODELS = {
    "quick": "bench+tokens=12+tps=0",
    "slow": "bench+tokens=400+tps=25+ttft=10",
    "swift": "demo-swift+tps=0+ttft=0",
    "cut": "bench+tokens=40+fault=die@9",
    "refuses": "bench+fault=400",
}


@pytest.fixture(scope="session")
def catalogue(database: None, provider_simulator: Simulator) -> dict[str, str]:
    """Models offered to every tenant: slug -> upstream name."""
    provider_id = routing.add_provider(
        name="Test simulator", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    for slug, upstream in MODELS.items():
        routing.register_model(
            provider_id=provider_id, upstream_model=upstream, price=PRICE, slug=slug, name=slug.title()
        )
    return MODELS


@pytest.fixture(autouse=True)
def empty_queue(catalogue: dict[str, str]) -> Iterator[None]:
    """No test meets another one's generations or workers: the queue is the whole installation's."""
    yield
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_generation SET state = 'cancelled', owner = NULL, finished_at = clock_timestamp() "
            "WHERE state IN ('queued', 'running')"
        )
        cursor.execute("DELETE FROM conversations_worker")


Ask = Callable[..., TurnAccepted]


@pytest.fixture
def ask() -> Ask:
    """Ask as a principal: `ask(alice, "Hello?", "quick", "slow")`."""

    def start(
        principal: Principal,
        message: str = "What is a lease?",
        *models: str,
        conversation_id: UUID | None = None,
        key: str | None = None,
    ) -> TurnAccepted:
        body = {
            "message": message,
            "models": list(models or ("quick",)),
            "conversation_id": str(conversation_id) if conversation_id else None,
        }
        return services.start_turn(principal, requests.turn_request(body, key))

    return start


@pytest.fixture
def new_worker() -> Callable[..., UUID]:
    """A worker's row with a lease of so many seconds; negative: run out."""

    def make(lease_seconds: float = 60.0) -> UUID:
        worker_id = uuid4()
        with connections["engine"].cursor() as cursor:
            cursor.execute(
                "INSERT INTO conversations_worker (id, name, slots, lease_until) "
                "VALUES (%s, 'test', 10, clock_timestamp() + make_interval(secs => %s))",
                [worker_id, lease_seconds],
            )
        return worker_id

    return make


@pytest.fixture
def runtime(catalogue: dict[str, str]) -> Iterator[WorkerRuntime]:
    """A worker's loop that claims nothing by itself: what runs here was launched by the test."""
    options = Options(slots=SLOTS, drain_seconds=0.1, limits=Limits(5, 5, 5, 100_000))
    runtime = WorkerRuntime(options, ring=lambda count: None)
    runtime.stopping.set()
    runtime.start()
    eventually(lambda: runtime.lease.fresh)
    yield runtime
    runtime.drain()


@pytest.fixture(scope="session")
def unhurried(catalogue: dict[str, str], provider_simulator: Simulator) -> str:
    """A model of 50 tokens whose pace a test sets by `pace`."""
    provider_id = routing.add_provider(
        name="Unhurried simulator", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    routing.register_model(
        provider_id=provider_id, upstream_model="bench-unhurried+tokens=50", price=PRICE, slug="unhurried"
    )
    return "unhurried"


@pytest.fixture
def pace(provider_simulator: Simulator) -> Callable[[float], None]:
    """Sets how many tokens per second the unhurried model gives to calls that begin from now on; 0: all at once."""

    def set_pace(tokens_per_second: float) -> None:
        rule = {"model": "bench-unhurried", "options": f"tps={tokens_per_second:g}"}
        headers = {"Content-Type": "application/json"}
        address = f"{provider_simulator.url}/control/options"
        request = Request(address, json.dumps(rule).encode(), headers, method="POST")
        with urlopen(request, timeout=5) as response:
            assert response.status == 201

    return set_pace


def workers() -> list[UUID]:
    return list(Worker.objects.using("engine").values_list("id", flat=True))
