"""Only operators may have providers called through litellm, whichever door they come through."""

import io
import textwrap
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client

from apps.accounts.models import User
from apps.routing import services
from apps.routing.catalogue_file import read
from apps.routing.errors import CatalogueFileRefused, ProviderAddressRefused
from apps.routing.models import Deployment, Provider
from apps.routing.price_facts import published_facts
from apps.routing.queues import KNOWN_ADDRESS
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from tests.people import Operator, new_address, prove_second_factor

GUARDED = "whose connections nobody guards"


@pytest.fixture
def slug() -> str:
    return f"gemini-{uuid4().hex[:12]}"


def test_a_workspaces_own_provider_is_refused(alice: Principal) -> None:
    with pytest.raises(ProviderAddressRefused, match=GUARDED) as caught:
        services.add_provider(
            name="Own", base_url=KNOWN_ADDRESS, key="sk-one", tenant_id=alice.tenant_id, adapter="litellm"
        )
    assert list(caught.value.fields) == ["adapter"]
    assert not Provider.objects.using("engine").filter(tenant_id=alice.tenant_id).exists()


def test_the_database_refuses_it_too(alice: Principal) -> None:
    with pytest.raises(IntegrityError, match="routing_provider_litellm_is_ours"), transaction.atomic(using="engine"):
        Provider.objects.using("engine").create(
            tenant_id=alice.tenant_id, slug="own", name="Own", base_url=KNOWN_ADDRESS, adapter="litellm"
        )


def test_a_catalogue_for_one_workspace_is_refused_and_one_for_all_is_not(alice: Principal, slug: str) -> None:
    text = textwrap.dedent(f"""
        providers:
          - {{slug: {slug}, name: Gemini, adapter: litellm, base_url: "http://pool.example:9000"}}
        models:
          - slug: {slug}
            deployments:
              - {{provider: {slug}, upstream_model: gemini/gemini-2.5-flash, free: true}}
        """)
    with pytest.raises(CatalogueFileRefused, match=GUARDED):
        services.load_catalogue(read(text), environment={}, tenant_id=alice.tenant_id)
    try:
        services.load_catalogue(read(text), environment={})
        provider = Provider.objects.using("engine").get(slug=slug)
        assert provider.base_url == "http://pool.example:9000", "which paths lie below it is litellm's to know"
    finally:
        Provider.objects.using("engine").filter(slug=slug).update(enabled=False)


def test_the_administration_refuses_it(operator: Operator, alice: Principal) -> None:
    desk = Client(REMOTE_ADDR=new_address())
    desk.force_login(User.objects.get(id=operator.id))
    prove_second_factor(desk, operator.id)
    form = {
        "tenant": str(alice.tenant_id),
        "slug": "own",
        "name": "Own",
        "adapter": "litellm",
        "address": KNOWN_ADDRESS,
        "key": "",
        "enabled": "on",
    }
    response = desk.post("/admin/routing/provider/add/", form)
    assert response.status_code == 200
    (told,) = response.context["adminform"].form.errors["adapter"]
    assert GUARDED in told
    assert not Provider.objects.using("engine").filter(tenant_id=alice.tenant_id).exists()


def _run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("add_provider", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def test_the_command_knows_its_address_and_published_prices(slug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_KEY", "gm-key")
    model = "gemini/gemini-2.5-flash"
    try:
        _run(slug, "--kind", "litellm", "--key-env", "GEMINI_KEY", "--model", f"{model}={slug}")
        provider = Provider.objects.using("engine").get(slug=slug)
        assert (provider.adapter, provider.base_url, provider.tenant_id) == ("litellm", KNOWN_ADDRESS, None)
        row = Deployment.objects.using("engine").select_related("model").get(provider=provider)
        facts = published_facts(model)
        assert facts is not None
        assert (row.upstream_model, row.model.context_tokens) == (model, facts.context_tokens)
    finally:
        Provider.objects.using("engine").filter(slug=slug).update(enabled=False)


def test_the_command_refuses_what_cannot_be(alice: Principal, slug: str) -> None:
    workspace = Tenant.objects.using("engine").values_list("slug", flat=True).get(id=alice.tenant_id)
    with pytest.raises(CommandError, match=GUARDED):
        _run(slug, "--kind", "litellm", "--model", "gemini/gemini-2.5-flash", "--tenant", workspace)
    with pytest.raises(CommandError, match="lists no models"):
        _run(slug, "--kind", "litellm", "--discover")
    assert not Provider.objects.using("engine").filter(slug=slug).exists()
