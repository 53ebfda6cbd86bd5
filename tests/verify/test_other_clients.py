"""LangChain and the `llm` command line, each in pinned versions and an environment of its own, at a real server."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from apps.billing import services as billing
from apps.billing.models import LedgerEntry
from apps.routing import services as routing
from apps.routing.contracts import ModelKind, NewPrice
from apps.routing.models import LanguageModel
from apps.tenants.contracts import Principal
from apps.tenants.services import create_api_key
from benchmarks.gateway.peers import cache_folder, python_tools
from tests.people import new_owner
from tests.processes import Simulator
from tests.product import WebServer, eventually, web_server

CLIENTS = Path(__file__).with_name("clients")
CALL_SECONDS = 90
MODEL, VECTORS = "client-swift", "client-vectors"
CHATS = ("completions", "responses", "messages")


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment with the clients."""

    folder: Path

    def run(self, program: str, *words: str, **variables: str) -> str:
        """What a program of it prints. Nothing of this installation's environment reaches it."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        done = subprocess.run(
            [str(self.folder / "bin" / program), *words],
            env=kept | variables,
            timeout=CALL_SECONDS,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed() -> Installed:
    return Installed(python_tools(cache_folder(), "clients", CLIENTS))


@pytest.fixture(scope="module")
def web(database: None, provider_simulator: Simulator) -> Iterator[WebServer]:
    provider_id = routing.add_provider(
        name="Simulator of clients", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    prices = {
        MODEL: ("demo-swift+tps=0+ttft=0", NewPrice(100_000_000, 400_000_000)),
        VECTORS: ("demo-embed", NewPrice(20_000_000, 0)),
    }
    for slug, (upstream_model, price) in prices.items():
        registered = routing.register_model(
            provider_id=provider_id, upstream_model=upstream_model, price=price, slug=slug, name=slug
        )
        profile = {"kind": ModelKind.EMBEDDING} if slug == VECTORS else {"tools": True, "json_schema": True}
        LanguageModel.objects.using("engine").filter(id=registered.model_id).update(**profile)
    routing.invalidate()
    with web_server("uvicorn") as server:
        yield server


@pytest.fixture(scope="module")
def told(installed: Installed, web: WebServer) -> dict[str, Any]:
    """What LangChain's program printed, all of it in one run: importing takes seconds."""
    key = create_api_key(new_owner("Lang", "Chains"), "chain").secret
    printed = installed.run("python", str(CLIENTS / "langchain_calls.py"), web.url, key)
    return dict(json.loads(printed.splitlines()[-1]))


@pytest.mark.parametrize("chat", CHATS)
def test_langchain_is_answered_whole_and_streamed(told: dict[str, Any], chat: str) -> None:
    whole, streamed = told[f"{chat} whole"], told[f"{chat} streamed"]
    assert isinstance(streamed, dict), streamed
    assert whole["text"] and streamed["text"] == whole["text"], (whole, streamed)
    assert streamed["pieces"] > 3
    assert whole["usage"]["output_tokens"] == streamed["usage"]["output_tokens"] > 0
    assert told[f"{chat} awaited"] == [whole["text"]] * 2


@pytest.mark.parametrize("chat", CHATS)
def test_langchains_tools_are_called_and_answered(told: dict[str, Any], chat: str) -> None:
    tools = told[f"{chat} tools"]
    assert [name for name, _ in tools["calls"]] == ["weather"], tools
    assert isinstance(tools["calls"][0][1]["city"], str)
    assert tools["streamed"] == tools["calls"]
    assert tools["text"]


@pytest.mark.parametrize("chat", CHATS)
def test_langchain_gets_the_structure_it_asked_for(told: dict[str, Any], chat: str) -> None:
    made = told[f"{chat} structured"]
    assert set(made) == {"function_calling", "json_schema"}, made
    for kind, name, age in made.values():
        assert (kind, type(name), type(age)) == ("Person", str, int)


def test_langchain_gets_vectors(told: dict[str, Any]) -> None:
    assert told["vectors"]["count"] == 2 and told["vectors"]["same"] and told["vectors"]["size"] > 8


def test_langchain_is_refused_in_the_words_of_its_client(told: dict[str, Any]) -> None:
    expected = {"model": ("NotFoundError", 404), "temperature": ("BadRequestError", 400)}
    expected["key"] = ("AuthenticationError", 401)
    for chat in CHATS:
        for kind, (name, status) in expected.items():
            names, told_status = told["failing"][f"{chat} {kind}"]
            assert name in names and told_status == status, (chat, kind, names)


@pytest.fixture
def terminal(web: WebServer, alice: Principal, tmp_path: Path) -> dict[str, str]:
    """The folder of one person who uses `llm`, as its variables."""
    known = {
        "model_id": "ours",
        "model_name": MODEL,
        "api_base": f"{web.url}/v1",
        "api_key_name": "ours",
        "supports_schema": True,
        "supports_tools": True,
    }
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([known]))  # which is YAML too
    (tmp_path / "keys.json").write_text(json.dumps({"ours": create_api_key(alice, "terminal").secret}))
    return {"LLM_USER_PATH": str(tmp_path)}


def test_llm_streams_waits_and_goes_on(installed: Installed, terminal: dict[str, str], alice: Principal) -> None:
    question = "Why do leases need fences?"
    streamed = installed.run("llm", "-m", "ours", question, **terminal)
    whole = installed.run("llm", "-m", "ours", "--no-stream", question, **terminal)
    assert streamed == whole and len(whole) > 20
    followed = installed.run("llm", "-c", "And leases without fences?", **terminal)
    assert followed and followed != whole
    logged = json.loads(installed.run("llm", "logs", "--json", "-n", "0", **terminal))
    assert len({one["conversation_id"] for one in logged}) == 2
    assert all(one["input_tokens"] and one["output_tokens"] for one in logged), logged

    def three_lines() -> bool:
        billing.drain_settlements()
        return LedgerEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, kind="charge").count() == 3

    eventually(three_lines)


def test_llm_gets_structure_and_calls_functions(installed: Installed, terminal: dict[str, str]) -> None:
    person = json.loads(installed.run("llm", "-m", "ours", "--schema", "name, age int", "Invent a person.", **terminal))
    assert isinstance(person["name"], str) and isinstance(person["age"], int)
    function = 'def weather(city: str) -> str:\n    "The weather in a city."\n    return f"Rain in {city}."'
    words = ("-m", "ours", "--functions", function, "--td", "What is the weather in Oslo?")
    assert installed.run("llm", *words, **terminal)
