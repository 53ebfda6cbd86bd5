"""What was open and is closed is refused at the next admission, in every process."""

from uuid import uuid4

import httpx
import pytest

from apps.routing import selectors
from apps.routing import services as routing
from apps.routing.models import LanguageModel
from apps.tenants import membership, teams
from apps.tenants import services as tenants
from apps.tenants.contracts import Principal
from tests.gateway.conftest import PRICE
from tests.processes import Simulator
from tests.product import WebServer


@pytest.fixture
def dear(offered: None, provider_simulator: Simulator, alice: Principal) -> str:
    """A model of Alice's workspace, of a tier of its own."""
    slug = f"gw-dear-{uuid4().hex[:8]}"
    provider_id = routing.add_provider(
        name=slug, base_url=f"{provider_simulator.url}/v1", key="any", simulated=True, tenant_id=alice.tenant_id
    )
    routing.register_model(provider_id=provider_id, upstream_model="bench+tokens=3+tps=0", price=PRICE, slug=slug)
    LanguageModel.objects.using("engine").filter(slug=slug).update(tier="dear")
    return slug


def ask(web: WebServer, secret: str, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.post(f"{web.url}/v1/chat/completions", json=body, headers=headers, timeout=20).status_code


def test_a_tier_that_is_closed_is_closed_everywhere_at_once(
    web: WebServer, other_web: WebServer, alice: Principal, bob: Principal, dear: str
) -> None:
    key, both = tenants.create_api_key(bob, "app").secret, (web, other_web)
    assert [ask(one, key, dear) for one in both] == [200, 200]
    teams.set_model_rule(alice, "dear", ["owner"], [])
    assert [ask(one, key, dear) for one in both] == [403, 403]
    assert [ask(one, key, "gw-quick") for one in both] == [200, 200]
    # Nor by another name: a fallback, a policy or a key that names it.
    named = httpx.post(
        f"{web.url}/v1/messages/count_tokens",
        json={"model": dear, "messages": [{"role": "user", "content": "hello"}]},
        headers={"Authorization": f"Bearer {key}"},
        timeout=20,
    )
    assert named.status_code == 403
    teams.remove_model_rule(alice, "dear")
    # What is opened is seen with the next admission of the workspace, or within seconds.
    assert [ask(one, key, "gw-quick") for one in both] == [200, 200]
    assert [ask(one, key, dear) for one in both] == [200, 200]


def test_keys_end_with_their_team_and_their_person(
    web: WebServer, other_web: WebServer, alice: Principal, bob: Principal
) -> None:
    both = (web, other_web)
    places = {one.user_id: one.id for one in membership.members(alice)}
    team_id = teams.create_team(alice, "Search")
    teams.add_member(alice, team_id, places[bob.user_id])
    of_team = tenants.create_api_key(bob, "team's", team_id=team_id)
    own = tenants.create_api_key(bob, "own")
    rotated = tenants.rotate_api_key(bob, own.id, overlap_seconds=600)
    secrets = (of_team.secret, own.secret, rotated.secret)
    assert {ask(one, secret, "gw-quick") for one in both for secret in secrets} == {200}
    teams.delete_team(alice, team_id)
    assert [ask(one, of_team.secret, "gw-quick") for one in both] == [401, 401]
    assert {ask(one, secret, "gw-quick") for one in both for secret in secrets[1:]} == {200}
    membership.suspend(alice, places[bob.user_id])
    assert {ask(one, secret, "gw-quick") for one in both for secret in secrets} == {401}


def test_what_was_read_before_a_change_is_not_kept_after_it(
    database: None, alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one slow reading would hand out rights that every process was told are void."""
    read = selectors._read

    def slow(tenant_id: object) -> selectors.Snapshot:
        found = read(alice.tenant_id)
        selectors.invalidate(alice.tenant_id)
        return found

    selectors.invalidate(alice.tenant_id)
    monkeypatch.setattr(selectors, "_read", slow)
    selectors.snapshot(alice.tenant_id)
    assert selectors.snapshot_in_memory(alice.tenant_id) is None
    monkeypatch.setattr(selectors, "_read", read)
    selectors.snapshot(alice.tenant_id)
    assert selectors.snapshot_in_memory(alice.tenant_id) is not None
