"""Drill 17: keys revoked under load, then their person off-boarded with sockets and streams open, on two web processes.

What is open closes by itself, nothing more is accepted anywhere, and nobody else notices.
"""

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp

from chaos.cluster import Caller, Setup
from chaos.evidence import TERMINAL_STATES
from chaos.readers import Question
from chaos.trial import Drill, Trial

BYSTANDERS = 16
KEYS = 4  # one stays until its person leaves
LONG_ANSWERS = 2
CLOSED_SECONDS = 5.0
WAITED_SECONDS = 6.5
HAMMERED_SECONDS = 1.2
PAUSE_SECONDS = 0.1


@dataclass(slots=True)
class Line:
    """One open connection of the person who leaves. `closed_at` in Unix seconds; None while it is open."""

    kind: str  # websocket or sse
    credential: str  # key, token or session
    key: int | None
    events: int = 0
    closed_at: float | None = None
    code: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} by {self.credential}{'' if self.key is None else f' {self.key}'}"


@dataclass(frozen=True, slots=True)
class Post:
    """One question that was sent: when, with which key, and what came of it."""

    sent_at: float
    key: int
    status: int


@dataclass(slots=True)
class Leaver:
    """A member of the first tenant, with every kind of credential."""

    caller: Caller
    membership_id: str
    keys: list[dict[str, str]]
    access: str
    refresh: str
    cookie: str
    lines: list[Line] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)

    def headers(self, credential: str, key: int | None) -> dict[str, str]:
        if credential == "session":
            return {"Cookie": self.cookie}
        return {"Authorization": f"Bearer {self.access if key is None else self.keys[key]['secret']}"}


async def run(trial: Trial) -> None:
    crowd = trial.crowd
    leaver = await _joined(trial)
    await crowd.ask_many(trial.count(BYSTANDERS), "steady")
    answers = [await _ask(trial, leaver, "blocker") for _ in range(LONG_ANSWERS)]
    tasks = _open_lines(trial, leaver, answers)
    if not await trial.until(lambda: all(line.events for line in leaver.lines), 20):
        silent = [str(line) for line in leaver.lines if not line.events]
        trial.fail("drill-broken", f"nothing came over {silent}")
    last_key = KEYS - 1
    for key in range(last_key):
        await _revoke_key(trial, leaver, key)
    open_still = [line for line in leaver.lines if line.key in (None, last_key)]
    for line in open_still:
        if line.closed_at is not None:
            trial.fail("disturbed", f"{line} was closed although nothing of it was revoked")
    await _off_board(trial, leaver, open_still, answers)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await trial.settle(readers_seconds=40)
    _undisturbed(trial)


async def _hands(trial: Trial, *words: str) -> dict[str, Any]:
    """What `chaos.people` does in a process of its own, and what it says."""

    def work() -> dict[str, Any]:
        done = trial.cluster.command("chaos.people", *words)
        if done.returncode:
            raise RuntimeError(f"{words[0]} failed: {done.stderr[-1500:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))

    return await asyncio.to_thread(work)


async def _joined(trial: Trial) -> Leaver:
    tenant_id = trial.cluster.callers[0].tenant_id
    told = await _hands(trial, "join", str(tenant_id), str(KEYS))
    caller = Caller(tenant_id, UUID(told["user_id"]), told["keys"][-1]["secret"])
    return Leaver(caller, told["membership_id"], told["keys"], told["access"], told["refresh"], told["cookie"])


async def _ask(trial: Trial, leaver: Leaver, model: str) -> Question:
    question = await _post(trial, leaver, KEYS - 1, trial.dice.choice(trial.cluster.web_urls), model)
    if question is None:
        raise RuntimeError("a question was refused before anything was revoked")
    return question


async def _post(trial: Trial, leaver: Leaver, key: int, url: str, model: str = "short") -> Question | None:
    """Ask one question with a key. What is accepted is one more promise for the oracle."""
    question = trial.crowd.question(model)
    question.caller = leaver.caller
    trial.crowd.questions.remove(question)
    sent = leaver.headers("key", key) | {"Prefer": "respond-async", "Idempotency-Key": str(uuid.uuid4())}
    body = {"message": question.text, "models": [model]}
    sent_at = time.time()
    async with trial.crowd.session.post(f"{url}/v1/chat/messages", json=body, headers=sent) as response:
        leaver.posts.append(Post(sent_at, key, response.status))
        if response.status != 202:
            return None
        question.accept(await response.json())
        trial.crowd.questions.append(question)
        return question


def _open_lines(trial: Trial, leaver: Leaver, answers: list[Question]) -> list["asyncio.Task[None]"]:
    """Five sockets and as many streams, by every credential, on both web processes; each follows a long answer."""
    first, second = trial.cluster.web_urls
    last_key = KEYS - 1
    wanted = [
        *((first, "session", None), (second, "session", None), (first, "token", None)),
        *((second, "key", last_key), (first, "key", 0), (second, "token", None), (second, "key", 1)),
    ]
    tasks = []
    for number, (url, credential, key) in enumerate(wanted):
        stream = answers[number % len(answers)].turn_id
        for kind, open_line in (("websocket", _websocket), ("sse", _stream)):
            if kind == "sse" or len([line for line in leaver.lines if line.kind == "websocket"]) < 5:
                line = Line(kind, credential, key)
                leaver.lines.append(line)
                tasks.append(asyncio.create_task(open_line(trial, leaver, line, url, stream)))
    return tasks


async def _websocket(trial: Trial, leaver: Leaver, line: Line, url: str, stream: str) -> None:
    headers = leaver.headers("session", None) if line.credential == "session" else {}
    async with trial.crowd.session.ws_connect(f"{url}/ws/chat/", origin=url, headers=headers) as socket:
        if line.credential != "session":
            token = leaver.headers(line.credential, line.key)["Authorization"].removeprefix("Bearer ")
            await socket.send_json({"type": "auth", "token": token})
        await socket.send_json({"type": "subscribe", "stream": stream, "after": None})
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            line.events += '"token.delta"' in message.data
        line.closed_at, line.code = time.time(), socket.close_code


async def _stream(trial: Trial, leaver: Leaver, line: Line, url: str, stream: str) -> None:
    address, timeout = f"{url}/v1/chat/streams/{stream}", aiohttp.ClientTimeout(total=None)
    async with trial.crowd.session.get(
        address, headers=leaver.headers(line.credential, line.key), timeout=timeout
    ) as response:
        line.code = response.status
        try:
            async for data in response.content.iter_any():
                line.events += b"token.delta" in data
        except aiohttp.ClientError:
            trial.fail("cut", f"{line} was cut in the middle of a chunk")
        line.closed_at = time.time()


async def _revoke_key(trial: Trial, leaver: Leaver, key: int) -> None:
    """Revoke one key at the first web process, while both are asked with it as fast as they answer."""
    owner, urls = trial.cluster.callers[0], trial.cluster.web_urls
    until = time.time() + 2 * HAMMERED_SECONDS

    async def hammer(url: str) -> None:
        while time.time() < until:
            await _post(trial, leaver, key, url)
            await asyncio.sleep(PAUSE_SECONDS)

    hammers = [asyncio.create_task(hammer(url)) for url in urls]
    await asyncio.sleep(HAMMERED_SECONDS * trial.dice.uniform(0.7, 1.0))
    async with trial.crowd.session.delete(
        f"{urls[0]}/api/v1/api-keys/{leaver.keys[key]['id']}/", headers={"Authorization": f"Bearer {owner.api_key}"}
    ) as response:
        if response.status != 204:
            trial.fail("drill-broken", f"revoking a key answered {response.status}")
    revoked_at = time.time()
    await asyncio.gather(*hammers)
    before = [post for post in leaver.posts if post.key == key and post.sent_at < revoked_at]
    after = [post for post in leaver.posts if post.key == key and post.sent_at >= revoked_at]
    _count(trial, "asked before", len([post for post in before if post.status == 202]))
    _count(trial, "asked after", len(after))
    for post in after:
        if post.status != 401:
            late = 1000 * (post.sent_at - revoked_at)
            trial.fail("accepted-late", f"{late:.0f} ms after its revocation a key was answered {post.status}")
    if not after or not any(post.status == 202 for post in before):
        trial.fail("drill-broken", f"key {key} was not in use on both sides of its revocation")
    await _closed(trial, [line for line in leaver.lines if line.key == key], revoked_at, "after a key")


async def _closed(trial: Trial, lines: list[Line], revoked_at: float, what: str) -> None:
    """All of them are closed by now or soon."""
    await trial.until(lambda: all(line.closed_at is not None for line in lines), WAITED_SECONDS)
    for line in lines:
        if line.closed_at is None:
            trial.fail("open-late", f"{line} is open {time.time() - revoked_at:.1f} s {what} was revoked")
        elif line.kind == "websocket" and line.code != 4401:
            trial.fail("open-late", f"{line} was closed with {line.code}")
    waits = [line.closed_at - revoked_at for line in lines if line.closed_at is not None]
    if waits:
        trial.at_most("open-late", f"closed {what}", max(0.0, *waits), CLOSED_SECONDS)


async def _off_board(trial: Trial, leaver: Leaver, lines: list[Line], answers: list[Question]) -> None:
    administrator = trial.cluster.callers[0]
    trial.figure("open", len(lines))
    told = await _hands(
        trial, "off-board", str(administrator.tenant_id), str(administrator.user_id), leaver.membership_id
    )
    left_at = float(told["at"])
    if told["answers"] < len(answers):
        trial.fail("drill-broken", f"only {told['answers']} answers were under way when their person left")
    await _nothing_opens(trial, leaver)
    ids = [id for question in answers for id in question.lanes]

    def final() -> bool:
        states = trial.cluster.rows("SELECT state FROM conversations_generation WHERE id = ANY(%s::uuid[])", ids)
        return all(state in TERMINAL_STATES for (state,) in states)

    await trial.until(final, WAITED_SECONDS)
    trial.at_most("not-stopped", "answers stopped", time.time() - left_at, CLOSED_SECONDS)
    await _closed(trial, lines, left_at, "after leaving")


async def _nothing_opens(trial: Trial, leaver: Leaver) -> None:
    """Right after the commit, at every web process, by every credential."""
    session, last_key = trial.crowd.session, KEYS - 1
    for url in trial.cluster.web_urls:
        if await _post(trial, leaver, last_key, url) is not None:
            trial.fail("accepted-late", "a question was accepted from somebody who had left")
        for credential in ("token", "session"):
            sent = leaver.headers(credential, None)
            async with session.get(f"{url}/api/v1/accounts/me/", headers=sent) as response:
                if response.status != 401:
                    trial.fail("accepted-late", f"the {credential} of who had left was answered {response.status}")
        async with session.post(f"{url}/api/v1/accounts/token/refresh/", json={"refresh": leaver.refresh}) as response:
            if response.status != 401:
                trial.fail("accepted-late", f"the refresh token of who had left was answered {response.status}")


def _undisturbed(trial: Trial) -> None:
    """Readers of other people met no break that they did not want."""
    broken = [
        reader.reading.reader for reader in trial.crowd.readers if any(not one.wanted for one in reader.reading.breaks)
    ]
    if broken:
        trial.fail("disturbed", f"{len(broken)} readers of other people were cut off: {broken[:3]}")


def _count(trial: Trial, name: str, more: int) -> None:
    trial.figure(name, int(trial.figures.get(name, "0")) + more)


def _drill(server: str, *mutations: str) -> Drill:
    title = f"keys revoked under load on {server}, then their person off-boarded"
    return Drill(f"17-{server}", title, run, Setup(web_server=server), mutations=mutations)


DRILLS = (_drill("daphne", "watch-off", "standing-unasked"), _drill("uvicorn"))
