"""A request takes no thread for hooks that only look at headers, and keeps it for those that read a form or save."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.test import AsyncClient

from apps.tenants.contracts import Principal
from apps.tenants.scope import database_step
from tests.people import PASSWORD, new_address

HOOKS = ("process_request", "process_view", "process_response")


@pytest.fixture
def hooks_on_threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of middleware hooks that were handed to a thread, as they come."""
    seen: list[str] = []
    original = SyncToAsync.__call__

    async def noting(self: Any, *arguments: Any, **named: Any) -> Any:
        name = getattr(self.func, "__qualname__", "")
        if name.rpartition(".")[2] in HOOKS:
            seen.append(name)
        return await original(self, *arguments, **named)

    monkeypatch.setattr(SyncToAsync, "__call__", noting)
    return seen


async def test_a_program_at_a_door_costs_no_thread_for_hooks(
    hooks_on_threads: list[str], alice: Principal, api_key_of: Callable[[Principal], str]
) -> None:
    secret = await database_step(api_key_of, alice)
    response = await AsyncClient().get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
    assert response.status_code == 200
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert hooks_on_threads == []


async def test_a_form_is_read_and_a_session_saved_on_a_thread(hooks_on_threads: list[str], alice: Principal) -> None:
    browser = AsyncClient(enforce_csrf_checks=True, REMOTE_ADDR=new_address())
    assert (await browser.get("/login/")).status_code == 200
    assert hooks_on_threads == []
    form = {
        "email": alice.user_email,
        "password": PASSWORD,
        "csrfmiddlewaretoken": browser.cookies["csrftoken"].value,
    }
    assert (await browser.post("/login/", form)).status_code == 302
    assert hooks_on_threads == ["CsrfViewMiddleware.process_view", "SessionMiddleware.process_response"]
    assert (await browser.get("/settings/keys/")).status_code == 200


async def test_a_change_without_its_token_is_refused(alice: Principal) -> None:
    browser = AsyncClient(enforce_csrf_checks=True, REMOTE_ADDR=new_address())
    form = {"email": alice.user_email, "password": PASSWORD}
    assert (await browser.post("/login/", form)).status_code == 403
    assert "sessionid" not in browser.cookies
