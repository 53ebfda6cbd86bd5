"""`manage.py load_catalogue`, as an operator runs it: what changes, what is refused, and what a second run does."""

import io
import textwrap
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.routing import provider_keys, selectors
from apps.routing.contracts import FallbackKind, PolicyKind
from apps.routing.models import Deployment, LanguageModel, Price, Provider, RoutingPolicy
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Tenant

CATALOGUE = """
providers:
  - slug: lab
    name: The lab
    base_url: http://lab.example:8000/v1
    key_env: LAB_KEY
  - slug: pool
    name: Pool
    base_url: http://pool:8000/v1
    base_url_env: POOL_URL
models:
  - slug: big
    name: Big
    context_tokens: 64000
    max_output_tokens: 4096
    tools: true
    languages: [en, de]
    safety_class: strict
    strength: 80
    tier: frontier
    fallbacks: {context: [small], any: [small]}
    deployments:
      - provider: lab
        upstream_model: big-1
        region: eu-west-1
        residency: eu
        weight: 30
        price: {input: 1.25, cached_input: "0.125", cache_write: 1.5, output: 10, reasoning: 12}
      - provider: pool
        upstream_model: big
        priority: 2
        max_parallel: 8
        max_waiting: 4
        context_tokens: 32000
        free: true
  - slug: small
    deployments:
      - {provider: pool, upstream_model: small, free: true}
policies:
  - slug: thrifty
    name: Thrifty
    kind: cheapest
    models: [big, small]
    max_cost_usd: 0.25
  - slug: mixed
    kind: weighted
    weights: {big: 1, small: 2.5}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("LAB_KEY", "sk-lab-key")
    monkeypatch.setenv("POOL_URL", "http://10.0.0.5:8000")
    return monkeypatch


def _load(principal: Principal, folder: Path, text: str = CATALOGUE, *options: str) -> str:
    slug = Tenant.objects.using("engine").values_list("slug", flat=True).get(id=principal.tenant_id)
    file = folder / "catalogue.yaml"
    file.write_text(textwrap.dedent(text))
    out = io.StringIO()
    call_command("load_catalogue", str(file), "--tenant", slug, *options, stdout=out, no_color=True)
    return out.getvalue()


def _refused(principal: Principal, folder: Path, text: str) -> str:
    before = _everything(principal)
    with pytest.raises(CommandError) as caught:
        _load(principal, folder, text)
    assert _everything(principal) == before, "all of a file or nothing"
    return str(caught.value)


def _everything(principal: Principal) -> dict[str, list[dict[str, Any]]]:
    tables = (Provider, LanguageModel, Deployment, Price, RoutingPolicy, AuditEntry)
    of = {"tenant_id": principal.tenant_id}
    return {
        table.__name__: list(table.objects.using("engine").filter(**of).order_by("pk").values()) for table in tables
    }


def _entries(principal: Principal) -> list[str]:
    rows = AuditEntry.objects.using("engine").filter(tenant_id=principal.tenant_id).order_by("seq")
    return list(rows.exclude(action="tenant.opened").values_list("action", flat=True))


def test_a_file_becomes_the_catalogue(alice: Principal, tmp_path: Path) -> None:
    out = _load(alice, tmp_path)
    assert "added    provider lab" in out
    assert "added    price big at lab (big-1): input $1.25, cached input $0.125, cache write $1.5, output $10" in out
    assert "sk-lab-key" not in out
    offered = selectors.catalogue(alice.tenant_id)
    big = offered.models["big"]
    assert (big.name, big.context_tokens, big.max_output_tokens, big.tier) == ("Big", 64_000, 4_096, "frontier")
    profile = big.profile
    assert (profile.tools, profile.vision, profile.safety_class, profile.strength) == (True, False, 2, 80)
    assert profile.languages == {"en", "de"}
    assert big.fallbacks == {FallbackKind.CONTEXT: ("small",), FallbackKind.ANY: ("small",)}
    lab, pool = big.deployments
    assert (lab.provider, lab.region, lab.residency, lab.weight) == ("lab", "eu-west-1", "eu", 30)
    assert lab.price is not None
    assert (lab.price.input_nanousd_per_mtok, lab.price.cached_input_nanousd_per_mtok) == (1_250_000_000, 125_000_000)
    assert (lab.price.cache_write_nanousd_per_mtok, lab.price.reasoning_nanousd_per_mtok) == (1_500_000_000, 12 * 10**9)
    assert (pool.priority, pool.context_tokens, pool.price and pool.price.free) == (2, 32_000, True)
    row = Deployment.objects.using("engine").get(tenant_id=alice.tenant_id, upstream_model="big")
    assert (row.max_parallel, row.max_waiting) == (8, 4)
    thrifty, mixed = offered.policies["thrifty"], offered.policies["mixed"]
    assert (thrifty.kind, thrifty.models, thrifty.max_cost_nanousd) == (
        PolicyKind.CHEAPEST,
        ("big", "small"),
        250_000_000,
    )
    assert mixed.weights == {"big": 1.0, "small": 2.5}
    provider = Provider.objects.using("engine").get(tenant_id=alice.tenant_id, slug="lab")
    assert provider_keys.open_key(provider.id, provider.sealed_key) == "sk-lab-key"
    own = Provider.objects.using("engine").get(tenant_id=alice.tenant_id, slug="pool")
    assert (own.base_url, own.enabled) == ("http://10.0.0.5:8000/v1", True)


def test_a_second_run_changes_nothing_and_says_so(alice: Principal, tmp_path: Path) -> None:
    _load(alice, tmp_path)
    before = _everything(alice)
    assert "Nothing to change: 9 entries are as the file says." in _load(alice, tmp_path)
    assert _everything(alice) == before
    assert sorted(_entries(alice)) == sorted(
        ["provider.added"] * 2 + ["model.added"] * 2 + ["deployment.added", "price.added"] * 3 + ["policy.added"] * 2
    )


def test_a_dry_run_shows_the_difference_and_writes_nothing(alice: Principal, tmp_path: Path) -> None:
    _load(alice, tmp_path)
    before = _everything(alice)
    edited = CATALOGUE.replace("input: 1.25", "input: 1.5").replace("strength: 80", "strength: 85")
    edited = edited.replace("policies:", "  - {slug: new, deployments: []}\npolicies:")
    out = _load(alice, tmp_path, edited, "--dry-run")
    assert "changed  model big: strength: 80 -> 85" in out
    assert "repriced price big at lab (big-1): input $1.25" in out
    assert "-> input $1.5, cached input" in out
    assert "added    model new" in out
    assert "3 changes, 8 entries as they were. This was a dry run: nothing was written." in out
    assert _everything(alice) == before
    assert "3 changes" in _load(alice, tmp_path, edited)
    prices = Price.objects.using("engine").filter(deployment__upstream_model="big-1", tenant_id=alice.tenant_id)
    assert prices.count() == 2, "the old price stays"
    assert _entries(alice)[-3:].count("price.added") == 1


def test_a_provider_waits_for_its_key(alice: Principal, tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.delenv("LAB_KEY")
    environment.delenv("POOL_URL")
    out = _load(alice, tmp_path)
    assert "Provider lab is switched off: LAB_KEY not set." in out
    assert "Provider pool is switched off: POOL_URL not set." in out
    rows = Provider.objects.using("engine").filter(tenant_id=alice.tenant_id)
    assert set(rows.values_list("slug", "enabled")) == {("lab", False), ("pool", False)}
    environment.setenv("LAB_KEY", "sk-lab-key")
    out = _load(alice, tmp_path)
    assert "changed  provider lab: enabled: False -> True; key given" in out
    environment.delenv("LAB_KEY")
    assert "Nothing to change" in _load(alice, tmp_path), "a shell without the key takes no provider away"
    assert rows.get(slug="lab").enabled


def test_what_an_operator_switched_off_stays_off(alice: Principal, tmp_path: Path) -> None:
    _load(alice, tmp_path)
    Provider.objects.using("engine").filter(tenant_id=alice.tenant_id, slug="lab").update(enabled=False)
    assert "Nothing to change" in _load(alice, tmp_path)


def test_a_moved_provider_needs_its_key_again(
    alice: Principal, tmp_path: Path, environment: pytest.MonkeyPatch
) -> None:
    _load(alice, tmp_path)
    environment.delenv("LAB_KEY")
    moved = CATALOGUE.replace("lab.example", "elsewhere.example")
    assert "models" not in (told := _refused(alice, tmp_path, moved))
    assert told == "providers[0] (lab): the address changes, so give the key again in LAB_KEY"
    environment.setenv("LAB_KEY", "sk-lab-key")
    assert "changed  provider lab: base_url: http://lab.example:8000/v1 -> http://elsewhere" in _load(
        alice, tmp_path, moved
    )


def test_published_facts_fill_what_the_file_leaves_out(alice: Principal, tmp_path: Path) -> None:
    text = """
        providers:
          - {slug: lab, base_url: "http://lab.example/v1"}
        models:
          - slug: four
            facts: litellm/gpt-4o-mini
            max_output_tokens: 2000
            deployments:
              - {provider: lab, upstream_model: gpt-4o-mini, price: litellm/gpt-4o-mini}
          - slug: long
            context_tokens: 1000000
            deployments:
              - {provider: lab, upstream_model: long, price: litellm/gemini/gemini-2.5-pro}
    """
    _load(alice, tmp_path, text)
    offered = selectors.catalogue(alice.tenant_id).models
    four = offered["four"]
    assert (four.context_tokens, four.max_output_tokens) == (128_000, 2_000), "what the file says comes first"
    assert (four.profile.tools, four.profile.vision, four.profile.json_schema) == (True, True, True)
    price = four.deployments[0].price
    assert price is not None
    assert (price.input_nanousd_per_mtok, price.cached_input_nanousd_per_mtok) == (150_000_000, 75_000_000)
    assert offered["long"].deployments[0].context_tokens == 200_000, "no longer than its price holds"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("free: true\n  - slug: small", "weight: 1\n  - slug: small", "deployments[1].price: is missing"),
        ("input: 1.25", "input: -1", "models[0] (big).deployments[0].price.input: must not be negative"),
        ("input: 1.25", "input: yes", "deployments[0].price.input: must be text; put quotes around it"),
        ("input: 1.25", "input: much", "price.input: must be a number"),
        ("input: 1.25", "input: 0.0000000001", "price.input: has more than nine places"),
        ("input: 1.25, ", "", "price.input: is missing"),
        ("input: 1.25, ", "input: 0, output: 0, x: 1, ", "comes twice"),
        ("price: {input: 1.25", "free: true\n        price: {input: 1.25", "free: contradicts the price"),
        ('{input: 1.25, cached_input: "0.125", cache_write: 1.5, output: 10, reasoning: 12}', "{input: 0, output: 0}",
         "price: is zero; say “free: true”"),
        ("tier: frontier", "teir: frontier", "models[0] (big).teir: is not known here; known are slug, name"),
        ("tools: true", "tools: 1", "models[0] (big).tools: must be true or false"),
        ("strength: 80", "strength: 101", "models[0] (big).strength: Ensure this value is less than or equal to 100."),
        ("[en, de]", "[en, no]", "languages: must be a list of texts; put quotes"),
        ("safety_class: strict", "safety_class: lax", "safety_class: must be one of open, standard, strict"),
        ("any: [small]", "sometimes: [small]", "fallbacks.sometimes: is not known here; known are any, context"),
        ("any: [small]", "any: [smal]", "models[0] (big).fallbacks.any: there is no model “smal”"),
        ("any: [small]", "any: [big]", "a model cannot be its own fallback"),
        ("provider: lab", "provider: lap", "models[0] (big).deployments[0].provider: there is no provider “lap”"),
        ("kind: cheapest", "kind: best", "policies[0] (thrifty).kind: Value 'best' is not a valid choice."),
        ("weights: {big: 1, small: 2.5}", "hue: 2", "policies[1] (mixed).weights: is missing"),
        ("small: 2.5", "small: -2", "policies[1] (mixed).weights.small: must not be negative"),
        ("small: 2.5", "smal: 2", "policies[1] (mixed).weights: there is no model “smal”"),
        ("slug: thrifty", "slug: big", "policies[0] (big): models[0] (big) has that name already"),
        ("slug: pool", "slug: lab", "providers[1] (lab): providers[0] (lab) has that provider already"),
        ("key_env: LAB_KEY", "key_env: sk-abc-def", "providers[0] (lab).key_env: must be the name of an environment"),
        ("key_env: LAB_KEY", "key: sk-abc", "providers[0] (lab).key: is not known here"),
        ("lab.example:8000/v1", "user:pw@lab.example/v1", "providers[0] (lab).base_url: Give the key as the key"),
        ("price: {input", "price: [1]\n        x: {input", "deployments[0].price: must be a mapping"),
        ("providers:", "providers: [", "no YAML that can be read"),
        ("providers:", "!!python/object:os.system {}\nproviders:", "no YAML that can be read"),
    ],
)  # fmt: skip
def test_refusals_name_the_place(alice: Principal, tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in CATALOGUE
    assert told in _refused(alice, tmp_path, CATALOGUE.replace(old, new, 1))


def test_everything_that_is_wrong_is_told_at_once(alice: Principal, tmp_path: Path) -> None:
    wrong = CATALOGUE.replace("tools: true", "tools: 1").replace("kind: cheapest", "kind: best")
    assert len(_refused(alice, tmp_path, wrong).splitlines()) == 2
    amounts = '{input: 1.25, cached_input: "0.125", cache_write: 1.5, output: 10, reasoning: 12}'
    wrong = CATALOGUE.replace(amounts, "{input: -1, output: much}", 1)
    told = _refused(alice, tmp_path, wrong).splitlines()
    assert len(told) == 2, "what cannot be read is not zero as well"
    assert _refused(alice, tmp_path, "- 1\n") == "The file: must be a mapping of names to values"


def test_a_file_or_tenant_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("load_catalogue", str(tmp_path / "none.yaml"))
    with pytest.raises(CommandError, match="no tenant “nowhere”"):
        call_command("load_catalogue", str(tmp_path), "--tenant", "nowhere")
