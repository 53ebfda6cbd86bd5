"""`manage.py add_provider`, as an operator types it."""

import io

import pytest
from django.core.management import CommandError, call_command

from apps.routing import provider_keys, selectors
from apps.routing.models import Deployment, LanguageModel, Provider
from apps.routing.price_facts import anthropic_facts, openai_facts
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from tests.processes import Simulator


@pytest.fixture(autouse=True)
def pipe(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Standard input; empty unless a test writes into it."""
    stdin = io.StringIO()
    monkeypatch.setattr("sys.stdin", stdin)
    return stdin


def _fill(pipe: io.StringIO, text: str) -> None:
    pipe.write(text)
    pipe.seek(0)


def _run(principal: Principal, *arguments: str) -> str:
    slug = Tenant.objects.using("engine").values_list("slug", flat=True).get(id=principal.tenant_id)
    out = io.StringIO()
    call_command("add_provider", "Lab GPU", *arguments, "--tenant", slug, stdout=out, no_color=True)
    return out.getvalue()


def _refused(principal: Principal, *arguments: str) -> CommandError:
    with pytest.raises(CommandError) as caught:
        _run(principal, *arguments)
    assert not Provider.objects.using("engine").filter(tenant_id=principal.tenant_id).exists()
    return caught.value


def _models(principal: Principal) -> dict[str, str]:
    rows = Deployment.objects.using("engine").filter(tenant_id=principal.tenant_id)
    return dict(rows.values_list("model__slug", "upstream_model"))


def test_models_are_offered_under_the_names_given(alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-lab-key")
    out = _run(
        alice, "--kind", "vllm", "--base-url", "http://127.0.0.1:8000", "--key-env", "LAB_KEY",
        "--model", "llama3.2:3b", "--model", "mistral:7b=mistral=Mistral 7B", "--free", "--context-tokens", "8192",
    )  # fmt: skip
    assert _models(alice) == {"llama3.2:3b": "llama3.2:3b", "mistral": "mistral:7b"}
    model = LanguageModel.objects.using("engine").get(tenant_id=alice.tenant_id, slug="mistral")
    assert (model.name, model.context_tokens) == ("Mistral 7B", 8_192)
    provider = Provider.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert provider.base_url == "http://127.0.0.1:8000/v1"
    assert provider_keys.open_key(provider.id, provider.sealed_key) == "sk-lab-key"
    assert "llama3.2:3b  free  (added)" in out
    assert "2 models offered to tenant" in out
    assert "sk-lab-key" not in out


def test_running_it_again_says_what_changed(alice: Principal) -> None:
    basis = ("--base-url", "http://127.0.0.1:8000/v1", "--model", "m", "--output-usd-per-mtok", "0.6")
    assert "$0.15 in, $0.6 out per million tokens  (added)" in _run(alice, *basis, "--input-usd-per-mtok", "0.15")
    assert "(unchanged)" in _run(alice, *basis, "--input-usd-per-mtok", "0.15")
    assert "(new price)" in _run(alice, *basis, "--input-usd-per-mtok", "0.2")
    (card,) = [card for card in selectors.models_for(alice) if card.slug == "m"]
    assert str(card.input_usd_per_mtok) == "0.2"


def test_a_key_from_standard_input(alice: Principal, pipe: io.StringIO) -> None:
    _fill(pipe, "sk-from-pipe\n")
    _run(alice, "--base-url", "http://127.0.0.1:8000/v1", "--key-stdin", "--model", "m", "--free")
    provider = Provider.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert provider_keys.open_key(provider.id, provider.sealed_key) == "sk-from-pipe"


def test_openai_brings_published_prices_and_limits(alice: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-lab-key")
    out = _run(alice, "--kind", "openai", "--key-env", "LAB_KEY", "--model", "gpt-4o-mini")
    assert "gpt-4o-mini  $0.15 in, $0.6 out per million tokens  (added)" in out
    model = LanguageModel.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert (model.context_tokens, model.max_output_tokens) == (128_000, 16_384)
    assert Provider.objects.using("engine").get(tenant_id=alice.tenant_id).base_url == "https://api.openai.com/v1"


def test_facts_about_models_that_are_not_openais_chat_models() -> None:
    assert openai_facts("no-such-model") is None
    assert openai_facts("text-embedding-3-small") is None
    assert openai_facts("claude-sonnet-4-5") is None


def test_discover_offers_what_the_provider_lists(
    alice: Principal, provider_simulator: Simulator, pipe: io.StringIO
) -> None:
    _fill(pipe, "sk-x\n")
    out = _run(alice, "--base-url", provider_simulator.url, "--discover", "--free", "--key-stdin")
    assert {"demo-swift", "demo-atlas"} <= set(_models(alice))
    assert "demo-embed" not in _models(alice)
    assert "  demo-embed\n" in out, "listed, though not offered"


def test_discover_checks_the_names_given(alice: Principal, provider_simulator: Simulator, pipe: io.StringIO) -> None:
    _fill(pipe, "sk-x\n")
    basis = ("--base-url", provider_simulator.url, "--discover", "--free", "--key-stdin")
    _run(alice, *basis, "--model", "demo-quill")
    pipe.seek(0)
    assert _models(alice) == {"demo-quill": "demo-quill"}
    with pytest.raises(CommandError, match=r"does not list demo-quil\."):
        _run(alice, *basis, "--model", "demo-quil")


def test_models_behind_anthropics_format_are_discovered_and_reached_over_it(
    alice: Principal, provider_simulator: Simulator, pipe: io.StringIO
) -> None:
    _fill(pipe, "sk-lab\n")
    out = _run(
        alice, "--adapter", "anthropic", "--base-url", provider_simulator.url, "--key-stdin",
        "--discover", "--free",
    )  # fmt: skip
    assert "demo-lark" in _models(alice)
    assert "demo-embed" not in out, "Anthropic lists what chats"
    assert Provider.objects.using("engine").get(tenant_id=alice.tenant_id).adapter == "anthropic"


def test_anthropics_own_models_have_an_address_and_published_prices(
    alice: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-ant-lab")
    out = _run(alice, "--kind", "anthropic", "--key-env", "LAB_KEY", "--model", "claude-haiku-4-5-20991231")
    provider = Provider.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert (provider.adapter, provider.base_url) == ("anthropic", "https://api.anthropic.com/v1")
    assert "$1 in, $5 out per million tokens" in out
    assert anthropic_facts("gpt-4o") is None
    assert openai_facts("claude-haiku-4-5") is None


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("--base-url", "http://h/v1", "--model", "m"), "price of m is not known", 1),
        (("--base-url", "http://h/v1", "--free"), "at least one --model", 2),
        (("--model", "m", "--free"), "needs --base-url", 2),
        (("--base-url", "h/v1", "--model", "m", "--free"), "begins with http", 1),
        (("--base-url", "http://h/v1", "--model", "=x", "--free"), "names no model", 2),
        (("--base-url", "http://h/v1", "--model", "m", "--free", "--input-usd-per-mtok", "1"), "contradict", 2),
        (("--base-url", "http://h/v1", "--model", "m", "--input-usd-per-mtok", "1"), "both prices", 2),
        (
            ("--base-url", "http://h/v1", "--model", "m", "--input-usd-per-mtok", "0", "--output-usd-per-mtok", "0"),
            "say --free",
            2,
        ),
        (("--base-url", "http://h/v1", "--model", "m", "--free", "--key-stdin"), "holds no key", 1),
        (("--base-url", "http://h/v1", "--model", "m", "--free", "--key-env", "NOT_SET"), "NOT_SET holds no key", 1),
        (("--kind", "openai", "--model", "gpt-4o"), "asks for a key", 2),
        (("--kind", "anthropic", "--model", "claude-haiku-4-5"), "asks for a key", 2),
        (("--base-url", "http://127.0.0.1:9/v1", "--discover", "--free"), "cannot be reached", 3),
    ],
)
def test_refusals(alice: Principal, arguments: tuple[str, ...], message: str, code: int) -> None:
    error = _refused(alice, *arguments)
    assert message in str(error)
    assert error.returncode == code


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "much"])
def test_amounts_that_are_none(alice: Principal, amount: str) -> None:
    basis = ("--base-url", "http://h/v1", "--model", "m", "--output-usd-per-mtok", "1")
    assert "input-usd-per-mtok" in str(_refused(alice, *basis, f"--input-usd-per-mtok={amount}"))


def test_a_provider_that_refuses_the_key_is_told(
    alice: Principal, provider_simulator: Simulator, pipe: io.StringIO
) -> None:
    _fill(pipe, "invalid\n")
    error = _refused(alice, "--base-url", provider_simulator.url, "--discover", "--free", "--key-stdin")
    assert "does not accept our key" in str(error)
    assert error.returncode == 3


def test_an_unknown_tenant() -> None:
    with pytest.raises(CommandError, match="no tenant “nowhere”"):
        call_command(
            "add_provider", "Lab", "--base-url", "http://h/v1", "--model", "m", "--free", "--tenant", "nowhere"
        )
