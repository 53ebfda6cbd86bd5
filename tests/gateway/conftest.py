"""The stateless doors from outside: a real server, official clients, models that misbehave on purpose."""

import json
import time
from collections.abc import Callable, Iterator
from urllib.request import urlopen
from uuid import UUID

import pytest
from openai import OpenAI

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.tenants.contracts import Principal
from tests.gateway.asking import Asking
from tests.processes import Simulator
from tests.product import WebServer, eventually, web_server

PRICE = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)
# Slug -> upstream names in order of priority.
MODELS = {
    "gw-quick": ["bench+tokens=12+tps=0"],
    "gw-keyed": ["bench+tokens=30+tps=60+ttft=100"],
    "gw-slow": ["bench+tokens=60+tps=20+ttft=0"],
    "gw-long": ["bench+tokens=600+tps=0"],
    "gw-several-whole": ["bench-several-whole+tokens=40+tps=0"],
    "gw-several-told": ["bench-several-told+tokens=40+tps=0"],
    "gw-endless": ["bench+tokens=20000+tps=50+ttft=0"],
    "gw-rescued": ["bench+tokens=40+tps=0+fault=die@9", "bench+tokens=40+tps=0"],
    "gw-breaks": ["bench+tokens=40+tps=0+fault=die@9"],
    "gw-refuses": ["bench+fault=400"],
    "gw-silent": ["bench+tokens=40+tps=0+fault=die@0"],
}


@pytest.fixture(scope="session")
def offered(database: None, provider_simulator: Simulator) -> None:
    provider_id = routing.add_provider(
        name="Simulator behind the gateway", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    for slug, upstreams in MODELS.items():
        for place, upstream in enumerate(upstreams):
            routing.register_model(
                provider_id=provider_id, upstream_model=upstream, price=PRICE, slug=slug, name=slug, priority=place + 1
            )


@pytest.fixture(scope="package")
def web(offered: None) -> Iterator[WebServer]:
    with web_server("uvicorn") as server:
        yield server


@pytest.fixture(scope="package")
def other_web(offered: None) -> Iterator[WebServer]:
    """Another process of the same installation."""
    with web_server("daphne") as server:
        yield server


ClientOf = Callable[..., OpenAI]


@pytest.fixture
def client_of(web: WebServer, api_key_of: Callable[[Principal], str]) -> Iterator[ClientOf]:
    """OpenAI's own client with a key of somebody, against this server or the given one. It repeats nothing."""
    made: list[OpenAI] = []

    def make(principal: Principal, server: WebServer = web, key: str | None = None) -> OpenAI:
        made.append(
            OpenAI(base_url=f"{server.url}/v1", api_key=key or api_key_of(principal), max_retries=0, timeout=20)
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(client_of: ClientOf, alice: Principal) -> OpenAI:
    return client_of(alice)


@pytest.fixture
def ledger() -> Callable[[UUID, int], list[LedgerEntry]]:
    """A tenant's ledger, once it has so many lines."""

    def lines(tenant_id: UUID, count: int) -> list[LedgerEntry]:
        def enough() -> list[LedgerEntry] | None:
            billing.drain_settlements()
            found = list(LedgerEntry.objects.using("engine").filter(tenant_id=tenant_id).order_by("created_at", "id"))
            return found if len(found) >= count else None

        found: list[LedgerEntry] = eventually(enough)
        return found

    return lines


@pytest.fixture
def asking(web: WebServer, other_web: WebServer, alice: Principal, api_key_of: Callable[[Principal], str]) -> Asking:
    """Alice, with a key, before two processes."""
    return Asking((web.url, other_web.url), api_key_of(alice))


@pytest.fixture
def asked_upstream(provider_simulator: Simulator) -> Callable[[], int]:
    """How many calls the simulator has been sent since the test began."""
    since = time.time()

    def count() -> int:
        with urlopen(f"{provider_simulator.url}/control/bill?since={since}", timeout=5) as response:
            return len(json.load(response)["calls"])

    return count
