"""The doors from outside: real servers, a real worker, programs with keys, models that misbehave on purpose."""

from collections.abc import Callable, Iterator

import pytest
from django.db import connections

from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants.contracts import Principal
from onebox.process import Process
from tests.conversations.doors.caller import Caller
from tests.processes import Simulator
from tests.product import WebServer, celery_worker, web_server

PRICE = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)
# Slug -> upstream names in order of priority.
MODELS = {
    "paced": ["bench+tokens=30+tps=25+ttft=10"],
    "endless": ["bench+tokens=20000+tps=50+ttft=0"],
    "markdown": ["demo-steady+tps=400+ttft=0"],
    "thinker": ["demo-cedar+tps=0+ttft=0"],
    "rescued": ["bench+tokens=40+tps=200+fault=die@9", "bench-b+tokens=12+tps=0"],
    "stutters": ["bench+tokens=40+tps=0+fault=no_usage"],
}


@pytest.fixture(scope="session")
def offered(catalogue: dict[str, str], provider_simulator: Simulator) -> None:
    """The models of `MODELS`, beside those of every chat test."""
    provider_id = routing.add_provider(
        name="Simulator behind doors", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    for slug, upstreams in MODELS.items():
        for place, upstream in enumerate(upstreams):
            routing.register_model(
                provider_id=provider_id,
                upstream_model=upstream,
                price=PRICE,
                slug=slug,
                name=slug.title(),
                priority=place + 1,
            )


@pytest.fixture(scope="package")
def quiet_afterwards(offered: None) -> Iterator[None]:
    """Nothing stays queued for other folders; torn down after this folder's worker."""
    yield
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_generation SET state = 'cancelled', owner = NULL, finished_at = clock_timestamp() "
            "WHERE state IN ('queued', 'running')"
        )
        cursor.execute("DELETE FROM conversations_worker")


@pytest.fixture(autouse=True)
def empty_queue() -> None:
    """Between the tests of a module its worker stays alive, so its row must stay too."""


@pytest.fixture(scope="package")
def daphne(quiet_afterwards: None) -> Iterator[WebServer]:
    with web_server("daphne") as server:
        yield server


@pytest.fixture(scope="package")
def uvicorn(quiet_afterwards: None) -> Iterator[WebServer]:
    with web_server("uvicorn") as server:
        yield server


@pytest.fixture
def web(request: pytest.FixtureRequest) -> WebServer:
    """daphne, or what a test names by `@pytest.mark.parametrize("web", ..., indirect=True)`."""
    server: WebServer = request.getfixturevalue(getattr(request, "param", "daphne"))
    return server


@pytest.fixture(scope="package")
def worker(quiet_afterwards: None) -> Iterator[Process]:
    """One worker for the whole folder, with a short way out."""
    with celery_worker(DRAIN_SECONDS="0.2") as process:
        yield process


@pytest.fixture
def caller_of(web: WebServer, api_key_of: Callable[[Principal], str]) -> Iterator[Callable[[Principal], Caller]]:
    """Makes a program that calls the web process with an API key of a principal."""
    made: list[Caller] = []

    def make(principal: Principal) -> Caller:
        made.append(Caller(web.url, api_key_of(principal)))
        return made[-1]

    yield make
    for caller in made:
        caller.close()


@pytest.fixture
def caller(caller_of: Callable[[Principal], Caller], alice: Principal) -> Caller:
    """Alice's program."""
    return caller_of(alice)
