"""A limit says no at the door with the status, the code and the patience a program needs; nothing is written then."""

import pytest

from apps.billing import services as billing
from apps.conversations.models import Conversation
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.conversations.doors.caller import Caller, problem

ASK = {"message": "Hello", "models": ["quick"]}


@pytest.mark.parametrize(
    ("limits", "code", "retryable"),
    [
        ({"requests_per_minute": 1}, "rate_limit_exceeded", True),
        ({"parallel_calls": 1}, "too_many_parallel_calls", True),
        ({"budget_month_nanousd": 10}, "insufficient_quota", False),
        ({"budget_day_nanousd": 10}, "insufficient_quota", False),
    ],
)
@pytest.mark.usefixtures("worker")
def test_a_limit_set_elsewhere_holds_on_the_next_request(
    caller: Caller, alice: Principal, limits: dict[str, int], code: str, retryable: bool
) -> None:
    running = caller.accept("endless")["generations"][0]  # and the web process has read the limits of before
    billing.set_quota(tenant_id=alice.tenant_id, user_id=None, **limits)
    refused = caller.http.post("/v1/chat/messages", json=ASK)
    assert problem(refused, 429, code)["retryable"] is retryable
    if code == "rate_limit_exceeded":
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
    with tenant_scope(alice.tenant_id):
        assert Conversation.objects.count() == 1
    billing.set_quota(tenant_id=alice.tenant_id)
    assert caller.ask("quick").only.end.data["state"] == "completed"
    caller.cancel(running["generation_id"])
