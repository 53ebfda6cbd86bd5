"""Changes of the catalogue are entries of the chain they concern: once, with what changed, and never with a key."""

import io
from typing import Any

from django.core.management import call_command

from apps.routing import services
from apps.routing.contracts import NewPrice
from apps.tenants.audit import Actor
from apps.tenants.audit_chain import walk
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Tenant

URL = "http://ollama:11434/v1"


def entries(principal: Principal) -> list[tuple[str, dict[str, Any]]]:
    rows = AuditEntry.objects.using("engine").filter(tenant_id=principal.tenant_id).exclude(action="tenant.opened")
    return list(rows.order_by("seq").values_list("action", "data"))


def test_a_provider_is_added_changed_and_left_alone(alice: Principal) -> None:
    def add(base_url: str, key: str | None = None) -> None:
        services.add_provider(name="Lab", base_url=base_url, key=key, tenant_id=alice.tenant_id)

    add(URL, "sk-one")
    add(URL, "sk-one")
    add(URL)
    added = {"slug": "lab", "name": "Lab", "base_url": URL, "adapter": "openai_compatible", "enabled": True}
    assert entries(alice) == [("provider.added", {**added, "key_given": True})]
    add(URL, "sk-two")
    add("http://new:1/v1", "sk-two")
    assert entries(alice)[1:] == [
        ("provider.changed", {"key_given": True}),
        ("provider.changed", {"base_url": {"from": URL, "to": "http://new:1/v1"}}),
    ]


def test_models_deployments_and_prices(alice: Principal) -> None:
    provider_id = services.add_provider(name="Lab", base_url=URL, tenant_id=alice.tenant_id)

    def offer(price: NewPrice, **given: Any) -> None:
        services.register_model(provider_id=provider_id, upstream_model="up", price=price, **given)

    offer(NewPrice(100, 200), name="Up")
    assert [action for action, _ in entries(alice)] == [
        "provider.added",
        "model.added",
        "deployment.added",
        "price.added",
    ]
    assert entries(alice)[-1][1]["input_nanousd_per_mtok"] == 100
    offer(NewPrice(100, 200), name="Up")
    assert len(entries(alice)) == 4, "again changes nothing"
    offer(NewPrice(100, 300), name="Upper", priority=3)
    assert entries(alice)[4:6] == [
        ("model.changed", {"name": {"from": "Up", "to": "Upper"}}),
        ("deployment.changed", {"priority": {"from": 1, "to": 3}}),
    ]
    assert entries(alice)[6][0] == "price.added"
    assert walk(alice.tenant_id).broken is None


def test_the_command_says_that_it_was_a_command(alice: Principal) -> None:
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    call_command(
        "add_provider", "Lab", "--base-url", URL, "--model", "m", "--free", "--tenant", slug, stdout=io.StringIO()
    )
    rows = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id, via="command")
    assert set(rows.values_list("actor", flat=True)) == {Actor.command("add_provider").name}
    assert rows.count() == 4
