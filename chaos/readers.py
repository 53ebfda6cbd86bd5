"""Clients: they ask through every door, follow over SSE and WebSocket, and come back after every break."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from chaos.cluster import Caller
from chaos.history import TERMINAL, Break, Reading, Seen

RETRY_SECONDS = 0.15
SILENCE_SECONDS = 20.0  # keepalives come every 15 s
# The socket of a killed web process still takes connections, which nobody serves until it runs again.
ANSWER_SECONDS = 3.0
_NETWORK = (aiohttp.ClientError, OSError, TimeoutError)


class Refused(Exception):
    """A door answered with a problem that asking again does not cure."""


@dataclass(slots=True)
class Question:
    """One accepted message: the promise that each of `generation_ids` reaches one end."""

    caller: Caller
    canary: str
    text: str
    models: tuple[str, ...]
    key: str
    conversation_id: str = ""
    turn_id: str = ""
    lanes: dict[str, int] = field(default_factory=dict)  # generation id -> lane
    accepted_at: float = 0.0

    @property
    def generation_ids(self) -> list[str]:
        return list(self.lanes)

    def accept(self, body: dict[str, Any]) -> None:
        """Take the answer of a door that accepted."""
        self.conversation_id, self.turn_id = body["conversation_id"], body["turn_id"]
        self.lanes = {one["generation_id"]: one["lane"] for one in body["generations"]}
        self.accepted_at = time.time()


def headers(caller: Caller) -> dict[str, str]:
    return {"Authorization": f"Bearer {caller.api_key}"}


async def ask(session: aiohttp.ClientSession, urls: Sequence[str], question: Question, until: float) -> None:
    """Post a question until a door accepts it; the idempotency key makes the repetition harmless. Raises `Refused`."""
    body = {"message": question.text, "models": list(question.models)}
    sent = headers(question.caller) | {"Prefer": "respond-async", "Idempotency-Key": question.key}
    for attempt in range(1_000_000):
        url = urls[attempt % len(urls)]
        try:
            async with session.post(
                f"{url}/v1/chat/messages", json=body, headers=sent, timeout=aiohttp.ClientTimeout(total=10)
            ) as response:
                told = await response.json(content_type=None)
                if response.status == 202:
                    question.accept(told)
                    return
                if not told.get("retryable"):
                    raise Refused(f"{response.status} {told}")
        except _NETWORK:
            pass  # asked again, elsewhere
        if time.time() > until:
            raise Refused("no door accepted the message in time")
        await asyncio.sleep(RETRY_SECONDS)


class Reader:
    """Follows a turn, or one generation of it, until every lane has its terminal event.

    `over` is sse or websocket. `whole_turn` follows the turn's stream, else the question's first generation alone.
    `hang_ups` are Unix times at which the reader leaves and comes back on its own account.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Sequence[str],
        question: Question,
        *,
        over: str,
        whole_turn: bool,
        name: str,
        hang_ups: Sequence[float] = (),
    ) -> None:
        self.question = question
        self.over = over
        self.reading = Reading(name, over)
        self._session = session
        self._urls = list(urls)
        self._at = 0  # which of the addresses
        self._wanted = question.generation_ids if whole_turn else question.generation_ids[:1]
        self._stream = question.turn_id if whole_turn else question.generation_ids[0]
        self._whole_turn = whole_turn
        self._hang_ups = sorted(hang_ups)
        for generation_id in self._wanted:
            self.reading.lanes[generation_id] = []

    @property
    def done(self) -> bool:
        return all(events and events[-1].type in TERMINAL for events in self.reading.lanes.values())

    @property
    def url(self) -> str:
        """Which web process it reads from now."""
        return self._urls[self._at]

    @property
    def cursor(self) -> str:
        """Where to resume: the last event id of the one lane, or every lane's position."""
        last = {
            self.question.lanes[generation_id]: f"{events[-1].fence}-{events[-1].seq}"
            for generation_id, events in self.reading.lanes.items()
            if events
        }
        if not self._whole_turn:
            return next(iter(last.values()), "")
        return ",".join(f"{lane}:{id}" for lane, id in sorted(last.items()))

    async def run(self) -> None:
        """Read to the end, whatever breaks on the way. Ends by itself only when every lane has ended."""
        while not self.done:
            wanted = False
            try:
                events = self._over_sse() if self.over == "sse" else self._over_websocket()
                async for body in events:
                    self._take(body)
                    if self.done:
                        break
                    if self._hang_ups and time.time() >= self._hang_ups[0]:
                        self._hang_ups.pop(0)
                        wanted = True
                        break
                await events.aclose()
            except _NETWORK:
                pass
            if self.done:
                break
            self.reading.breaks.append(Break(time.time(), self.url, wanted))
            if not wanted:
                self._at = (self._at + 1) % len(self._urls)
                await asyncio.sleep(RETRY_SECONDS)
        self.reading.complete = True

    def _take(self, body: dict[str, Any]) -> None:
        now = time.time()
        events = self.reading.lanes.get(body["generation_id"])
        if events is None:
            self.reading.faults.append(f"an event of the foreign generation {body['generation_id']}")
            return
        if self.reading.breaks and self.reading.breaks[-1].resumed_at is None:
            self.reading.breaks[-1].resumed_at = now
        events.append(Seen.of(body, now))

    async def _over_sse(self) -> AsyncGenerator[dict[str, Any], None]:
        sent = headers(self.question.caller) | ({"Last-Event-ID": self.cursor} if self.cursor else {})
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=3, sock_read=SILENCE_SECONDS)
        address = f"{self.url}/v1/chat/streams/{self._stream}"
        async with asyncio.timeout(ANSWER_SECONDS):
            response = await self._session.get(address, headers=sent, timeout=timeout)
        async with response:
            if response.status == 204:
                self._give_up("told that nothing is left, without a terminal event")
            elif response.status in (401, 403, 404, 422):
                self._give_up(f"refused with {response.status}")
            if response.status != 200:
                return
            rest = b""
            async for data in response.content.iter_any():
                *frames, rest = (rest + data).split(b"\n\n")
                for frame in frames:
                    _, found, payload = frame.partition(b"\ndata: ")
                    if found:
                        yield orjson.loads(payload)

    async def _over_websocket(self) -> AsyncGenerator[dict[str, Any], None]:
        address = f"{self.url}/ws/chat/"
        timeout = aiohttp.ClientWSTimeout(ws_receive=SILENCE_SECONDS, ws_close=1.0)
        async with asyncio.timeout(ANSWER_SECONDS):
            socket = await self._session.ws_connect(address, origin=self.url, timeout=timeout, heartbeat=15)
        try:
            await socket.send_json({"type": "auth", "token": self.question.caller.api_key})
            await socket.send_json({"type": "subscribe", "stream": self._stream, "after": self.cursor or None})
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return
                body = orjson.loads(message.data)
                if body["type"] == "error" and not body["retryable"]:
                    self._give_up(f"refused with {body['code']}")
                if body["type"] == "error":
                    return
                if "generation_id" in body and "id" in body:
                    yield body
        finally:
            socket_closing = asyncio.ensure_future(socket.close())
            await asyncio.wait([socket_closing], timeout=1.5)

    def _give_up(self, why: str) -> None:
        self.reading.faults.append(why)
        raise GaveUp(why)


class GaveUp(Exception):
    """The reader was told something after which it has no business to go on."""


@dataclass(slots=True)
class Crowd:
    """Askers and readers of one trial. `dice` decides doors, second devices and hang-ups."""

    session: aiohttp.ClientSession
    urls: list[str]
    callers: list[Caller]
    dice: random.Random
    until: float
    questions: list[Question] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def question(self, *models: str) -> Question:
        """A question nobody else asks; tenants take turns."""
        canary = f"canary-{self.dice.randbytes(6).hex()}"
        text = f"{canary} and the tide"
        caller = self.callers[len(self.questions) % len(self.callers)]
        question = Question(caller, canary, text, models, str(uuid.UUID(bytes=self.dice.randbytes(16), version=4)))
        self.questions.append(question)
        return question

    async def ask_many(self, count: int, *models: str, at_once: int = 8, follow: bool = True) -> list[Question]:
        """Ask that many questions of these models, and follow each answer."""
        asking = asyncio.Semaphore(at_once)

        async def one(question: Question) -> None:
            async with asking:
                await ask(self.session, self._shuffled_urls(), question, self.until)
            if follow:
                self.follow(question)

        questions = [self.question(*models) for _ in range(count)]
        await asyncio.gather(*(one(question) for question in questions))
        return questions

    def follow(self, question: Question, *, devices: int | None = None, url: str | None = None) -> None:
        """One or two devices, over whatever the dice say."""
        for device in range(devices or self.dice.choice((1, 1, 2))):
            now = time.time()
            hang_ups = [now + self.dice.uniform(1, 8)] if self.dice.random() < 0.3 else []
            urls = self._shuffled_urls()
            if url is not None:
                urls.sort(key=lambda one: one != url)
            reader = Reader(
                self.session,
                urls,
                question,
                over=self.dice.choice(("sse", "websocket")),
                whole_turn=len(question.lanes) > 1 or self.dice.random() < 0.5,
                name=f"{question.canary}/{device + 1}",
                hang_ups=hang_ups,
            )
            self.readers.append(reader)
            self._tasks.append(asyncio.create_task(self._read(reader)))

    async def finished(self, timeout_seconds: float) -> bool:
        """Wait until every reader is through; False where some are not by then (they are stopped)."""
        if not self._tasks:
            return True
        _, pending = await asyncio.wait(self._tasks, timeout=timeout_seconds)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return not pending

    def events_of(self, generation_id: str) -> list[list[Seen]]:
        """What each reader of a generation was told."""
        return [reader.reading.lanes[generation_id] for reader in self.readers if generation_id in reader.reading.lanes]

    async def _read(self, reader: Reader) -> None:
        try:
            await reader.run()
        except GaveUp:
            return

    def _shuffled_urls(self) -> list[str]:
        return self.dice.sample(self.urls, len(self.urls))
