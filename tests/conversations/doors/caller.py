"""A program at the HTTP doors: posts questions, follows streams, reads problems."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx

from tests.conversations.doors.transcript import Event, Transcript

QUESTION = "Why do leases need fences?"


class Caller:
    """Calls one web process with one credential. Answers are given as they are; nothing is raised for a status."""

    def __init__(self, url: str, credential: str | None) -> None:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False)

    def close(self) -> None:
        self.http.close()

    @contextmanager
    def asking(self, *models: str, message: str = QUESTION, **body: Any) -> Iterator[Iterator[Event]]:
        """The events of a question's own stream; leaving the block hangs up."""
        sent = {"message": message, "models": list(models), "stream": True, **body}
        with self.http.stream("POST", "/v1/chat/messages", json=sent, headers=_new_key()) as response:
            response.read() if response.status_code != 200 else None
            assert response.status_code == 200, response.text
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["X-Switchboard-Route"].count('state="planned"') == (len(models) or 1)
            yield frames(response.iter_lines())

    def ask(self, *models: str, message: str = QUESTION, **body: Any) -> Transcript:
        """Ask and follow to the end."""
        with self.asking(*models, message=message, **body) as events:
            return Transcript(events)

    def accept(self, *models: str, message: str = QUESTION, **body: Any) -> dict[str, Any]:
        """Ask and go: what the 202 says."""
        sent = {"message": message, "models": list(models), **body}
        response = self.http.post("/v1/chat/messages", json=sent, headers=_new_key() | {"Prefer": "respond-async"})
        assert response.status_code == 202, response.text
        return dict(response.json())

    @contextmanager
    def following(self, stream: str, after: str | None = None, render: str | None = None) -> Iterator[Iterator[Event]]:
        """The events of a stream by its id or its path."""
        path = stream if stream.startswith("/") else f"/v1/chat/streams/{stream}"
        headers = {"Last-Event-ID": after} if after else {}
        with self.http.stream("GET", path, headers=headers, params={"render": render} if render else {}) as response:
            assert response.status_code in (200, 204), response.read().decode()
            yield frames(response.iter_lines())

    def follow(self, stream: str, after: str | None = None, render: str | None = None) -> Transcript:
        """Follow to the end; empty where the door says that nothing is left."""
        with self.following(stream, after, render) as events:
            return Transcript(events)

    def cancel(self, generation_id: str) -> dict[str, Any]:
        response = self.http.post(f"/v1/chat/generations/{generation_id}/cancel")
        assert response.status_code == 202, response.text
        return dict(response.json())

    def turns(self, conversation_id: str) -> list[dict[str, Any]]:
        """What is stored of a conversation."""
        response = self.http.get(f"/api/v1/conversations/{conversation_id}/messages/")
        assert response.status_code == 200, response.text
        return list(response.json()["items"])

    def answers(self, conversation_id: str) -> Sequence[dict[str, Any]]:
        """What is stored of a conversation's only turn."""
        (turn,) = self.turns(conversation_id)
        return list(turn["answers"])


def frames(lines: Iterator[str]) -> Iterator[Event]:
    """Server-sent events from the lines of a response."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            event = Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
            assert event.type == event.data["type"]
            yield event
            fields = {}
    assert "data" not in fields, "the stream was cut inside an event"


def problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem document of a refusal, checked for its shape."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "code", "retryable"} <= set(body) and body["status"] == status
    assert code is None or body["code"] == code, body
    return body


def _new_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}
