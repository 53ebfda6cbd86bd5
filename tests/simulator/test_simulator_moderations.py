"""Moderation: scores by words, in OpenAI's form, on the bill like every call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.client import Client


async def moderated(simulator: Client, given: Any) -> list[dict[str, Any]]:
    status, _, body = await simulator.post("/v1/moderations", {"model": "demo-moderate", "input": given})
    assert status == 200, body
    results: list[dict[str, Any]] = body["results"]
    return results


async def test_words_raise_the_score_of_their_category(simulator: Client) -> None:
    calm, violent = await moderated(simulator, ["a quiet harbour", {"type": "text", "text": "They want to kill him."}])
    assert not calm["flagged"] and max(calm["category_scores"].values()) < 0.01
    assert violent["flagged"] and violent["categories"]["violence"] and violent["category_scores"]["violence"] > 0.9
    assert not violent["categories"]["hate"]


async def test_a_text_sets_a_score_outright(simulator: Client) -> None:
    [result] = await moderated(simulator, "moderate:self-harm/intent=0.37 please")
    assert result["category_scores"]["self-harm/intent"] == 0.37 and not result["flagged"]


async def test_it_stands_on_the_bill_and_faults_reach_it(simulator: Client) -> None:
    await simulator.fault(model="demo-moderate", kind="500", times=1)
    body = {"model": "demo-moderate", "input": "one two three"}
    for attempt, status in (("first", 500), ("second", 200)):
        headers = {"X-Switchboard-Attempt": attempt}
        assert (await simulator.post("/v1/moderations", body, headers=headers))[0] == status
        line = await simulator.bill(attempt)
        assert (line["endpoint"], line["status"], line["completed"]) == ("/v1/moderations", status, status == 200)
    assert line["prompt_tokens"] > 0


@pytest.mark.parametrize(("model", "given"), [("demo-swift", "x"), ("demo-moderate", ""), ("demo-moderate", [1])])
async def test_what_it_cannot_moderate_is_refused(simulator: Client, model: str, given: Any) -> None:
    status, _, body = await simulator.post("/v1/moderations", {"model": model, "input": given})
    assert status == 400 and body["error"]["type"] == "invalid_request_error"


async def test_it_does_not_chat(simulator: Client) -> None:
    body = {"model": "demo-moderate", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await simulator.post("/v1/chat/completions", body))[0] == 404
