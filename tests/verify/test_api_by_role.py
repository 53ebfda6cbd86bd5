"""The whole published API under schemathesis, as everybody who may knock: each role, a restricted key, and nobody."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from apps.routing import services as routing
from apps.routing.contracts import ModelKind, NewPrice
from apps.routing.models import LanguageModel
from apps.tenants import services
from apps.tenants.contracts import Scope
from apps.tenants.policy import Role
from tests.people import new_address
from tests.processes import Simulator
from tests.product import WebServer, celery_worker, web_server
from tests.published.exercise import Caller, Exercise, Report
from tests.published.workspace import Workspace

# To look further than every run does: `docs/testing.md`.
SECONDS_EACH = float(os.environ.get("API_SECONDS", "160"))
SEED = int(os.environ.get("API_SEED", "1"))
EXAMPLES = int(os.environ.get("API_EXAMPLES", "4"))
# All that is wrong in an input is tried as the one to whom most is open; the others show who is let in, and to what.
THOROUGH: dict[str, Any] = {"fuzzing": {"generation": {"max-examples": EXAMPLES}}}
BRIEF: dict[str, Any] = {
    "coverage": {"generation": {"mode": "positive"}, "unexpected-methods": []},
    "fuzzing": {"generation": {"max-examples": max(1, EXAMPLES // 2)}},
}
# What succeeds with these ends the caller's own membership; they are given no name to confirm it with.
ENDS_THE_RUN = {"members_leave"}


@pytest.fixture(scope="module")
def model(database: None, provider_simulator: Simulator) -> Iterator[str]:
    """A model that answers at once, and a worker that asks it."""
    slug = f"published-{uuid4().hex[:8]}"
    provider_id = routing.add_provider(
        name=f"Simulator of {slug}", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    price = NewPrice(input_nanousd_per_mtok=100_000_000, output_nanousd_per_mtok=400_000_000)
    routing.register_model(
        provider_id=provider_id, upstream_model="bench+tokens=3+tps=0", price=price, slug=slug, name="At once"
    )
    vectors = routing.register_model(
        provider_id=provider_id, upstream_model="demo-embed", price=price, slug=f"{slug}-vectors", name="Vectors"
    )
    LanguageModel.objects.using("engine").filter(id=vectors.model_id).update(kind=ModelKind.EMBEDDING)
    with celery_worker(DRAIN_SECONDS="0.2"):
        yield slug


@pytest.fixture(scope="module")
def web(model: str) -> Iterator[WebServer]:
    with web_server("uvicorn", TRUSTED_PROXIES="127.0.0.1/32") as server:
        yield server


@pytest.fixture(scope="module")
def document(web: WebServer) -> dict[str, Any]:
    response = httpx.get(f"{web.url}/api/schema/", timeout=30, trust_env=False)
    assert response.status_code == 200
    return dict(yaml.safe_load(response.text))


def exercised(document: dict[str, Any], web: WebServer, caller: Caller, workspace: Workspace) -> Report:
    # From an address of its own: attempts to sign in are counted by it.
    caller = replace(caller, headers={**caller.headers, "X-Forwarded-For": new_address()})
    phases = THOROUGH if caller.role == Role.OWNER else BRIEF
    report = Exercise(document, web.url, caller, workspace).run(phases, seconds=SECONDS_EACH, seed=SEED)
    print(f"{caller.name}: {report.calls} calls, {report.seconds:.1f} s, {report.share_of_success():.0%} of success")
    print("\n".join(report.failures))
    print({name: dict(counted) for name, counted in report.statuses.items()})
    assert report.failures == []
    return report


@pytest.mark.parametrize("role", list(Role))
def test_the_api_is_as_published_for(role: Role, document: dict[str, Any], web: WebServer, model: str) -> None:
    workspace = Workspace(role.value, model)
    headers = {"Authorization": f"Bearer {workspace.sign_in().access}"}
    report = exercised(document, web, Caller(role.value, headers, role.value), workspace)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    open_to_all = list(Role)
    mine = {one["operationId"] for one in operations if role.value in one.get("x-roles", open_to_all)}
    assert mine - report.done == ENDS_THE_RUN
    assert report.share_of_success() > 0.6


def test_the_api_is_as_published_for_a_restricted_key(document: dict[str, Any], web: WebServer, model: str) -> None:
    workspace = Workspace("member", model)
    secret = services.create_api_key(workspace.caller, "Chats alone", [Scope.CHAT.value]).secret
    caller = Caller("restricted key", {"Authorization": f"Bearer {secret}"}, "member", within="/v1/")
    report = exercised(document, web, caller, workspace)
    assert report.share_of_success() > 0.6


def test_the_api_is_as_published_for_nobody(document: dict[str, Any], web: WebServer, model: str) -> None:
    report = exercised(document, web, Caller("nobody", {}, None), Workspace("member", model))
    assert report.share_of_success() > 0.4, "signing in, renewing and signing out are for everybody"
