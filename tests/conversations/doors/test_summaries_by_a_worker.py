"""A summary on its real way: asked for over the broker, made by a worker, used by the next question."""

import pytest

from apps.billing.models import LedgerEntry
from apps.conversations import selectors
from apps.conversations.models import Generation
from apps.routing import services as routing
from apps.tenants.contracts import Principal
from apps.tenants.models import Tenant
from apps.tenants.scope import tenant_scope
from tests.conversations.doors.caller import Caller
from tests.conversations.doors.conftest import PRICE
from tests.processes import Simulator
from tests.product import eventually

pytestmark = pytest.mark.usefixtures("web", "worker")
LONG = "word " * 700


@pytest.fixture
def narrow(offered: None, alice: Principal, provider_simulator: Simulator) -> str:
    """A model of Alice's catalogue alone, of which a chat of three long questions is too much."""
    provider_id = routing.add_provider(
        name="Narrow simulator", base_url=f"{provider_simulator.url}/v1", key="any", simulated=True
    )
    slug = f"narrow-{alice.tenant_id}"
    routing.register_model(
        provider_id=provider_id,
        upstream_model="bench-narrow+tokens=12+tps=0",
        price=PRICE,
        slug=slug,
        context_tokens=4_000,
        max_output_tokens=1_000,
    )
    Tenant.objects.using("engine").filter(id=alice.tenant_id).update(allowed_models=[slug])
    return slug


def test_a_long_chat_is_summarised_behind_its_answers(caller: Caller, alice: Principal, narrow: str) -> None:
    eventually(lambda: any(one["id"] == narrow for one in caller.http.get("/v1/models").json()["data"]))
    end = caller.ask(narrow, message=LONG).only.end.data
    for number in range(2):
        end = caller.ask(narrow, message=f"{number} {LONG}", conversation_id=end["conversation_id"]).only.end.data
    assert end["route"]["prompt"]["turns_left_out"] == 1

    def made() -> Generation | None:
        with tenant_scope(alice.tenant_id):
            return Generation.objects.filter(kind="summary", state="completed").first()

    summary = eventually(made)
    assert isinstance(summary, Generation)
    with tenant_scope(alice.tenant_id):
        (line,) = LedgerEntry.objects.filter(call_id=summary.id)
    assert (line.kind, line.user_id, line.api_key_id) == ("charge", alice.user_id, summary.api_key_id)
    assert summary.api_key_id is not None, "it is the key's spending that made it"
    end = caller.ask(narrow, message="And now?", conversation_id=end["conversation_id"]).only.check().end.data
    assert end["route"]["prompt"]["turns_summarised"] >= 1
    prompt = caller.http.get(f"/api/v1/generations/{end['generation_id']}/prompt/").json()
    assert prompt["is_as_sent"] is True
    assert prompt["messages"][0]["role"] == "system"
    assert [turn["message"][:6] for turn in caller.turns(end["conversation_id"])][-1] == "And no"
    assert len(selectors.conversation_list(alice)) == 1
