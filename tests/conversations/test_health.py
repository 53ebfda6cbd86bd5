"""What the machine around the product asks: is it alive, can it serve, what does it count."""

import socket
from collections.abc import Callable
from uuid import UUID

import pytest
from django.test import Client, override_settings


@pytest.fixture
def probe() -> Client:
    return Client()


def test_alive_needs_nothing(probe: Client) -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        assert probe.get("/healthz").json() == {"status": "ok"}


def test_ready_with_every_part(probe: Client, new_worker: Callable[..., UUID]) -> None:
    new_worker()
    answer = probe.get("/readyz")
    assert answer.status_code == 200
    parts = ("database", "migrations", "worker", "redis", "cache")
    assert answer.json() == {"status": "ready", "checks": dict.fromkeys(parts, "ok")}


@pytest.mark.parametrize("lease_seconds", [None, -1.0])
def test_not_ready_without_a_living_worker(
    probe: Client, new_worker: Callable[..., UUID], lease_seconds: float | None
) -> None:
    if lease_seconds is not None:
        new_worker(lease_seconds)
    answer = probe.get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    wrong = {part: said for part, said in answer.json()["checks"].items() if said != "ok"}
    assert list(wrong) == ["worker"]
    assert "no worker is alive" in wrong["worker"]


@pytest.mark.parametrize(("setting", "part"), [("REDIS_URL", "redis"), ("REDIS_CACHE_URL", "cache")])
def test_not_ready_names_the_part_that_is_away(
    probe: Client, new_worker: Callable[..., UUID], setting: str, part: str
) -> None:
    new_worker()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens
        with override_settings(**{setting: f"redis://127.0.0.1:{closed.getsockname()[1]}/0"}):
            answer = probe.get("/readyz")
    assert answer.status_code == 503
    wrong = {name: said for name, said in answer.json()["checks"].items() if said != "ok"}
    assert wrong == {part: "fails: ConnectionError"}


def test_metrics_are_for_prometheus_and_name_no_ids(probe: Client) -> None:
    probe.get("/healthz")
    probe.get("/v1/chat/streams/01930000-0000-7000-8000-000000000000")
    answer = probe.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    text = answer.content.decode()
    assert 'route="/healthz"' in text
    assert "01930000" not in text
