"""`manage.py reconcile --simulator`: the ledger beside what the provider itself has counted."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from uuid import UUID

import httpx
import pytest
from django.core.management import CommandError, call_command
from openai import OpenAI

from apps.billing import provider_bill
from apps.billing.models import LedgerEntry
from apps.routing.models import Provider
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from tests.gateway.test_chat_completions import QUESTION
from tests.processes import Simulator
from tests.product import eventually

Ledger = Callable[[UUID, int], list[LedgerEntry]]


def billed(simulator: Simulator) -> list[provider_bill.BilledCall]:
    response = httpx.get(f"{simulator.url}/control/bill", timeout=10)
    return provider_bill.read(response.json()["calls"])


def test_the_bill_and_the_ledger_say_the_same(
    client: OpenAI, alice: Principal, ledger: Ledger, provider_simulator: Simulator
) -> None:
    client.chat.completions.create(model="gw-rescued", messages=QUESTION)
    client.chat.completions.create(model="gw-quick", messages=QUESTION)
    with client.chat.completions.create(model="gw-endless", messages=QUESTION, stream=True) as stream:
        next(stream)
    lines = ledger(alice.tenant_id, 4)
    own = {line.attempt_id for line in lines}
    eventually(lambda: own <= {call.attempt_id for call in billed(provider_simulator)})
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    out = StringIO()
    call_command("reconcile", "--tenant", slug, "--simulator", provider_simulator.url, stdout=out)
    assert out.getvalue() == "Attempts, ledger and counters, and the simulator's bill, agree, in 1 tenants.\n"
    with pytest.raises(CommandError, match="There is no bill at"):
        call_command("reconcile", "--tenant", slug, "--simulator", "http://127.0.0.1:9", stdout=StringIO())

    calls = billed(provider_simulator)
    providers = list(Provider.objects.using("engine").values_list("slug", flat=True))
    exact = next(line for line in lines if not line.estimated and line.output_tokens == 12)
    dearer = [replace(call, output_tokens=13) if call.attempt_id == exact.attempt_id else call for call in calls]
    (told,) = provider_bill.differences(dearer, providers, alice.tenant_id)
    assert str(exact.attempt_id) in told and told.endswith(f"({exact.input_tokens}, 12)")
    early = [replace(call, began_at=min(line.created_at for line in lines).replace(year=2020)) for call in calls]
    others = [call for call in early if call.attempt_id != exact.attempt_id]
    (told,) = provider_bill.differences(others, providers, alice.tenant_id)
    assert told == f"attempt {exact.attempt_id} stands in the ledger and not in the bill"
    stranger = replace(calls[0], attempt_id=UUID(int=1))
    assert [f"attempt {UUID(int=1)} stands in the bill and not in the ledger"] == [
        told for told in provider_bill.differences([*calls, stranger], providers, None) if str(UUID(int=1)) in told
    ]
