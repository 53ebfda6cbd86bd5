"""What models are told, over pages and REST: who may say it, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.tenants import instructions, teams
from apps.tenants.contracts import Principal

ABOUT, ANSWERS = "/settings/about-you/", "/settings/workspace/answers/"
ME, TENANT = "/api/v1/accounts/me/", "/api/v1/tenant/"
ClientOf = Callable[[Principal], Client]


@pytest.fixture(autouse=True)
def doors() -> None:
    """The real ones: these pages lead to others."""


def change(client: Client, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    answer = client.patch(path, body, content_type="application/json")
    return answer.status_code, answer.json()


def test_everybody_says_who_they_are(bob: Principal, client_of: ClientOf) -> None:
    browser = client_of(bob)
    saved = browser.post(ABOUT, {"instructions": "I sail.\r\nBriefly, <please>."}, follow=True)
    assert "from your next question on" in saved.content.decode()
    assert instructions.of(bob).own == "I sail.\nBriefly, <please>."
    assert "Briefly, &lt;please&gt;." in browser.get(ABOUT).content.decode()
    refused = browser.post(ABOUT, {"instructions": "x" * 8_001})
    assert refused.status_code == 400
    assert "8001" in refused.content.decode()
    assert instructions.of(bob).own == "I sail.\nBriefly, <please>."
    browser.post(ABOUT, {"instructions": ""})
    assert instructions.of(bob).own == ""


def test_owners_and_administrators_speak_for_the_workspace(
    alice: Principal, bob: Principal, client_of: ClientOf
) -> None:
    owner, member = client_of(alice), client_of(bob)
    form = {"instructions": "Be brief.", "max_output_tokens": "500", "summaries": "on"}
    assert owner.post(ANSWERS, form).status_code == 302
    assert owner.post(ANSWERS, {**form, "max_output_tokens": "0"}).status_code == 400
    told = teams.tenant(alice)
    assert (told.instructions, told.max_output_tokens, told.summaries) == ("Be brief.", 500, True)
    seen = member.get(ANSWERS).content.decode()
    assert "Be brief." in seen
    assert "<textarea" not in seen
    assert member.post(ANSWERS, form).status_code == 403
    assert owner.post(ANSWERS, {"instructions": "", "max_output_tokens": ""}).status_code == 302
    told = teams.tenant(alice)
    assert (told.instructions, told.max_output_tokens, told.summaries) == ("", None, False)


def test_the_same_over_rest(alice: Principal, bob: Principal, client_of: ClientOf) -> None:
    owner, member = client_of(alice), client_of(bob)
    body = {"instructions": "Be brief.", "max_output_tokens": 500, "summaries": False}
    status, told = change(owner, TENANT, body)
    assert status == 200
    assert {name: told[name] for name in body} == body
    assert change(owner, TENANT, {"max_output_tokens": None})[1]["max_output_tokens"] is None
    assert change(member, TENANT, body)[0] == 403
    assert change(member, ME, {"instructions": " I sail. "})[1]["instructions"] == "I sail."
    assert member.get(ME).json()["instructions"] == "I sail."
    assert owner.get(ME).json()["instructions"] == ""


@pytest.mark.parametrize("path", [ME, TENANT])
@pytest.mark.parametrize("text", [None, 7, ["x"], {"text": "x"}, "x" * 8_001, "a\x00b"])
def test_what_is_no_text_of_that_length_is_refused(
    alice: Principal, client_of: ClientOf, path: str, text: object
) -> None:
    assert change(client_of(alice), path, {"instructions": text})[0] == 400
    assert instructions.of(alice) == instructions.Instructions()


@pytest.mark.parametrize("body", [{"max_output_tokens": 0}, {"max_output_tokens": "5"}, {"max_output_tokens": True},
                                  {"max_output_tokens": 1.5}, {"summaries": "yes"}, {}])  # fmt: skip
def test_a_bad_bound_is_refused(alice: Principal, client_of: ClientOf, body: dict[str, Any]) -> None:
    assert change(client_of(alice), TENANT, body)[0] == 400
    assert teams.tenant(alice).max_output_tokens is None
