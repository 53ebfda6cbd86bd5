"""`deploy/catalogue.yaml`, loaded whole."""

import io
import re
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.routing import evidence, selectors, services
from apps.routing.catalogue_file import read
from apps.routing.contracts import Call, PolicyKind
from apps.routing.models import Provider
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant

FILE = Path(__file__).resolve().parents[2] / "deploy/catalogue.yaml"
VARIABLES = sorted(set(re.findall(r"^ +(?:key_env|base_url_env): (\w+)$", FILE.read_text(), re.MULTILINE)))


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _load(principal: Principal) -> str:
    slug = Tenant.objects.using("engine").values_list("slug", flat=True).get(id=principal.tenant_id)
    out = io.StringIO()
    call_command("load_catalogue", str(FILE), "--tenant", slug, stdout=out, no_color=True)
    return out.getvalue()


def test_nothing_is_offered_before_a_variable_is_set(alice: Principal) -> None:
    out = _load(alice)
    rows = Provider.objects.using("engine").filter(tenant_id=alice.tenant_id)
    assert rows.count() >= 10
    assert not rows.filter(enabled=True).exists()
    assert [name for name in VARIABLES if name not in out] == []
    assert [model for model in selectors.catalogue(alice.tenant_id).models if model.startswith(("gpt-", "own-"))] == []


def test_it_is_loaded_whole_and_twice(alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "http://127.0.0.1:9/v1" if name.endswith("BASE_URL") else "sk-not-a-real-key")
    first = _load(alice)
    assert "switched off" not in first
    assert "Nothing to change" in _load(alice)
    file = read(FILE.read_text())
    offered = selectors.catalogue(alice.tenant_id)
    rows = {**offered.models, **offered.side_models}
    assert {one.slug for one in file.models} <= set(rows)
    # Routing by difficulty waits for evidence, and shares are for a tenant to set.
    waiting = {policy.slug for policy in file.policies if policy.values["kind"] == PolicyKind.AUTO}
    assert {policy.kind for policy in offered.policies.values()} >= set(PolicyKind) - {
        PolicyKind.WEIGHTED,
        PolicyKind.AUTO,
    }
    for model in file.models:
        row = rows[model.slug]
        chats = model.slug in offered.models
        assert len(row.deployments) == len(model.deployments) > 0, model.slug
        assert (row.profile.strength is not None) == chats, model.slug
        for deployment in row.deployments:
            assert deployment.price is not None
            # OpenAI asks nothing for moderation.
            assert deployment.price.free == (not chats or deployment.provider.startswith(("vllm", "ollama")))
    assert waiting.isdisjoint(offered.policies)
    for slug in waiting:
        evidence.store(alice.tenant_id, slug, {"questions": 50, "router": {"apgr": {"value": 0.8}}})
    offered = selectors.catalogue(alice.tenant_id)
    for policy in file.policies:
        planned = services.plan(Call(alice.tenant_id, policy.slug, prompt_bytes=400), offered)
        assert planned.candidates, policy.slug


def test_no_key_is_in_it() -> None:
    assert not re.search(r"sk-|key: ", FILE.read_text())
