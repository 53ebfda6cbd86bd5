"""Somebody who asks with idempotency keys, before two processes."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx

from tests.product import eventually

CHAT = "/v1/chat/completions"


@dataclass
class Asking:
    """Somebody with a key, before both processes."""

    urls: tuple[str, str]
    secret: str

    def headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secret}", "Idempotency-Key": key}

    def post(self, key: str, body: dict[str, Any], path: str = CHAT, place: int = 0) -> httpx.Response:
        return httpx.post(self.urls[place] + path, json=body, headers=self.headers(key), timeout=20)

    def until_told(self, key: str, body: dict[str, Any], path: str = CHAT) -> httpx.Response:
        """As clients do that try again after a 409."""
        answers: list[httpx.Response] = []

        def told() -> bool:
            answers.append(self.post(key, body, path, place=len(answers) % 2))
            return answers[-1].status_code != 409

        eventually(told)
        return answers[-1]

    async def fifty(self, body: dict[str, Any]) -> None:
        """Ask fifty times at once under one key, as clients do that try again after a 409: all are told the same."""
        async with httpx.AsyncClient(timeout=20) as client:

            async def ask(number: int) -> httpx.Response:
                while True:
                    url = self.urls[number % 2] + CHAT
                    answer = await client.post(url, json=body, headers=self.headers("fifty"))
                    if answer.status_code != 409:
                        return answer
                    assert answer.headers["retry-after"] == "1"
                    assert answer.json()["error"]["code"] == "still_answering"
                    await asyncio.sleep(0.2)

            answers = await asyncio.gather(*(ask(number) for number in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert [answer.headers.get("idempotency-replayed") for answer in answers].count("true") == 49
        assert len({answer.headers["x-request-id"] for answer in answers}) == 50
        assert len({(one.headers["content-type"], one.headers["x-switchboard-route"]) for one in answers}) == 1
