"""The commands of the whole installation, as a person runs them, each against a database of this module's own."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from pydantic import SecretStr

from chatproject.management.commands import doctor, seed_demo
from onebox import __main__ as onebox
from onebox import commands
from onebox.network import listen
from tests import servers
from tests.house.test_doctor_on_mail import closed_port
from tests.processes import Simulator
from tests.product import web_server

Environment = dict[str, str]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def environment(provider_simulator: Simulator) -> Iterator[Environment]:
    """An installation without any data: its own database, the test run's Redis."""
    addresses = servers.shared()
    assert addresses is not None
    name = f"house_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    urls = servers.new_database(addresses, name)
    yield {
        "DATABASE_URL": urls.app,
        "DATABASE_ENGINE_URL": urls.engine,
        "DATABASE_OWNER_URL": urls.owner,
        "DB_NAME": urls.app.rpartition("/")[2],
        "REDIS_PREFIX": f"{name}:",
        "SIMULATOR_URL": provider_simulator.url,
        "NO_COLOR": "1",
    }
    servers.drop_database(addresses, name)


@pytest.fixture(scope="module")
def manage(environment: Environment) -> Run:
    """Runs `manage.py`, with settings over the installation's."""

    def run(*arguments: object, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", *map(str, arguments)],
            cwd=servers.ROOT,
            env={**os.environ, **environment, **settings},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture(scope="module")
def seeded(manage: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demonstration's facts are."""
    path = tmp_path_factory.mktemp("demo") / "demo.json"
    done = manage("seed_demo", "--json", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def engine(environment: Environment) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(environment["DATABASE_ENGINE_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def worker_row(engine: "psycopg.Connection[Any]") -> Iterator[None]:
    """A worker that is alive, as far as its row can tell."""
    engine.execute(
        "INSERT INTO conversations_worker (id, name, slots, lease_until) "
        "VALUES (gen_random_uuid(), 'test', 7, clock_timestamp() + interval '1 minute')"
    )
    yield
    engine.execute("DELETE FROM conversations_worker")


def failing(done: "subprocess.CompletedProcess[str]") -> dict[str, str]:
    """What the doctor found wrong: check -> what it said."""
    lines = [line for line in done.stdout.splitlines() if line.startswith("✗ ")]
    assert done.stdout.count("  mend: ") == len(lines), "each fault comes with its remedy"
    assert done.returncode == (1 if lines else 0), done.stderr
    return dict(line.removeprefix("✗ ").split(": ", 1) for line in lines)


def test_the_doctor_says_what_a_new_installation_lacks(manage: Run, environment: Environment) -> None:
    wrong = failing(manage("doctor"))
    assert wrong["workers"] == "no worker is alive; questions would wait"
    assert set(wrong) <= {"workers", "providers"}


def test_the_doctor_finds_nothing_where_nothing_is_wrong(manage: Run, seeded: Path, worker_row: None) -> None:
    done = manage("doctor")
    assert failing(done) == {}
    assert done.stdout.endswith("All is well.\n")
    assert "1 alive, 7 slots" in done.stdout


def test_the_doctor_goes_on_where_the_database_is_away(manage: Run, seeded: Path, worker_row: None) -> None:
    wrong = failing(manage("doctor", DATABASE_URL=f"postgresql://app@127.0.0.1:{closed_port()}/x"))
    assert set(wrong) == {"database", "roles", "migrations"}
    assert "refused" in wrong["database"], "what is wrong, and not that something took long"


@pytest.mark.parametrize(
    ("setting", "value", "check"),
    [
        ("SECRET_KEY", "short", "secrets"),
        ("REDIS_URL", "redis://127.0.0.1:{port}/0", "redis"),
        ("REDIS_CACHE_URL", "redis://127.0.0.1:{port}/0", "cache"),
        ("REDIS_URL", os.environ["REDIS_CACHE_URL"], "redis"),
    ],
    ids=["short secret", "no redis", "no cache", "a redis that evicts"],
)
def test_the_doctor_names_the_part_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, check: str
) -> None:
    ours = [one for one in doctor.CHECKS if one.name not in ("workers", "providers")]  # other tests' come and go
    monkeypatch.setattr(doctor, "CHECKS", ours)
    said = StringIO()
    with override_settings(**{setting: value.format(port=closed_port())}), pytest.raises(SystemExit) as left:
        call_command("doctor", stdout=said, no_color=True)
    assert left.value.code == 1
    assert [line.split(":")[0] for line in said.getvalue().splitlines() if line.startswith("✗")] == [f"✗ {check}"]


def test_the_doctor_names_a_provider_that_does_not_answer(
    manage: Run, environment: Environment, seeded: Path, worker_row: None
) -> None:
    with psycopg.connect(environment["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("ALTER TABLE routing_provider NO FORCE ROW LEVEL SECURITY")
        owner.execute("ALTER TABLE routing_provider DISABLE TRIGGER routing_key_stays_at_its_address")
        (url,) = owner.execute("SELECT base_url FROM routing_provider").fetchone() or ("",)
        owner.execute("UPDATE routing_provider SET base_url = %s", [f"http://127.0.0.1:{closed_port()}/v1"])
        wrong = failing(manage("doctor"))
        owner.execute("UPDATE routing_provider SET base_url = %s", [url])
        owner.execute("ALTER TABLE routing_provider ENABLE TRIGGER routing_key_stays_at_its_address")
    assert wrong == {"providers": "no answer from: Simulator, Simulator of Anthropic"}


def test_the_demonstrations_people_and_keys_work(environment: Environment, seeded: Path) -> None:
    assert stat.S_IMODE(seeded.stat().st_mode) == 0o600
    facts = json.loads(seeded.read_text())
    with web_server("daphne", **environment) as web, httpx.Client(base_url=web.url, trust_env=False) as client:
        whom = {}
        for who, key in (("", "api_key"), ("other_", "other_tenant_api_key")):
            login = {"email": facts[f"{who}email"], "password": facts[f"{who}password"]}
            pair = client.post("/api/v1/accounts/token/", json=login)
            assert pair.status_code == 200, pair.text
            for credential in (pair.json()["access"], facts[key]):
                me = client.get("/api/v1/accounts/me/", headers={"Authorization": f"Bearer {credential}"}).json()
                assert me["email"] == login["email"]
            whom[who] = me["tenant_id"]
        assert whom[""] != whom["other_"]
        models = client.get("/v1/models", headers={"Authorization": f"Bearer {facts['api_key']}"}).json()["data"]
        assert {"demo-swift", "demo-steady", "demo-cedar"} <= {model["id"] for model in models}
        assert "demo-embed" not in {model["id"] for model in models}, "no chat model"


def test_seeding_again_changes_nothing_but_the_keys(
    manage: Run, seeded: Path, engine: "psycopg.Connection[Any]", tmp_path: Path
) -> None:
    tables = ("accounts_user", "tenants_tenant", "routing_provider", "routing_languagemodel", "routing_price")

    def counts() -> list[Any]:
        return [engine.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]

    before, first = counts(), json.loads(seeded.read_text())
    assert manage("seed_demo", "--json", tmp_path / "again.json").returncode == 0
    again = json.loads((tmp_path / "again.json").read_text())
    keys = {"api_key", "other_tenant_api_key"}
    assert {name for name in first if first[name] != again[name]} == keys
    assert counts() == before


def test_a_provider_of_the_environment_that_is_away_is_named_and_the_next_one_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def add_provider(_command: str, name: str, *arguments: str) -> None:
        asked.append(name)
        if name == "OpenAI":
            raise CommandError("cannot be reached")

    monkeypatch.setattr(seed_demo, "call_command", add_provider)
    promised = SimpleNamespace(
        openai_api_key=SecretStr("sk-nobody"), anthropic_api_key=SecretStr("sk-nobody"), ollama_host="127.0.0.1:11434"
    )
    assert seed_demo.Command(stderr=StringIO())._offer_found(promised) == ["OpenAI: cannot be reached"]
    assert asked == ["OpenAI", "Anthropic", "Ollama"]


def test_seeding_without_a_simulator_fails_and_says_so(manage: Run, tmp_path: Path) -> None:
    done = manage("seed_demo", "--json", tmp_path / "none.json", SIMULATOR_URL=f"http://127.0.0.1:{closed_port()}")
    assert done.returncode != 0
    assert not (tmp_path / "none.json").exists()


def test_development_is_one_worker_with_its_output_on_the_screen() -> None:
    arguments = onebox._parser().parse_args(["dev"])
    assert (arguments.workers, arguments.follow) == (1, True)
    pool = commands.worker("worker-1", "8")
    assert pool[pool.index("-P") + 1] == "threads", "a pool of processes would have no shared event loop"
    with listen("127.0.0.1", None) as listener:
        for server in commands.WEB_SERVERS:
            argv = commands.web(server, listener)
            assert argv[argv.index("--fd") + 1] == str(listener.fileno())
            assert "-b" not in argv, "daphne would listen on port 8000 as well"
