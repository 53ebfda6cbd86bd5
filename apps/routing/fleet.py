"""What this process knows of every deployment, and the channel on which all processes share it through Redis.

Calls read and write memory alone. A thread of its own reports what was counted and fetches what others changed, about
once a second and soon after a failure; only asking for a probe's lease waits for Redis. While Redis is away each
process goes on with its own counts.
"""

import asyncio
import hashlib
import math
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import structlog
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from apps.observability import metrics
from apps.routing import chance
from apps.routing.circuit import Answer, Asker, Circuit, Rules, Verdict

SYNC_SECONDS = 1.0
# Failures of one moment go out together.
_COALESCE_SECONDS = 0.02
_REDIS_SECONDS = 0.5
# A mean of the last handful of calls: each new one counts a fifth.
_WEIGHT = 0.2
_FOLDER = Path(__file__).parent / "scripts"
_KEYS = ("circuits", "changed", "meta")

log = structlog.get_logger(__name__)


def _script(name: str) -> tuple[str, str]:
    text = "\n".join((_FOLDER / f"{part}.lua").read_text(encoding="utf-8") for part in ("circuit", name))
    # SHA-1 is the name Redis gives to scripts, not a protection.
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


SYNC, PROBE = _script("sync"), _script("probe")


@dataclass(slots=True)
class Record:
    """One deployment as this process knows it. Seconds and tokens per second are moving means of the whole fleet.

    `tenant_id` and `adapter` say how this process reached it last, so that a health check can reach it too. `name` is
    set where an operator offers it to everybody: only then it may be a metric's label.
    """

    circuit: Circuit = field(default_factory=Circuit)
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    failure: str | None = None
    failed_ms: int = 0
    in_flight: int = 0
    tenant_id: UUID | None = None
    adapter: str = ""
    name: str | None = None


@dataclass(slots=True)
class _Reports:
    """What is to be told of one deployment: events in their order, and means of what was measured."""

    events: list[tuple[str, int | str, str]] = field(default_factory=list)
    measured: dict[str, tuple[float, int]] = field(default_factory=dict)

    def add(self, kind: str, value: int | str, extra: str = "") -> None:
        if self.events and isinstance(value, int) and self.events[-1][0] == kind:
            value += int(self.events.pop()[1])
        self.events.append((kind, value, extra))

    def measure(self, kind: str, value: float) -> None:
        mean, count = self.measured.get(kind, (0.0, 0))
        self.measured[kind] = (mean * count + value) / (count + 1), count + 1


class Fleet:
    """This process's memory of all deployments, and its share in the fleet's. Safe for threads and event loops."""

    def __init__(self, url: str, *, prefix: str = "", rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.records: dict[UUID, Record] = {}
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_REDIS_SECONDS,
            socket_timeout=_REDIS_SECONDS,
        )
        self._keys = tuple(f"{prefix}{{routing}}:{key}" for key in _KEYS)
        self._guard = threading.Lock()
        self._syncing = threading.Lock()
        self._reports: dict[UUID, _Reports] = {}
        self._probes: dict[str, UUID] = {}
        self._seen = ("", 0)
        self._lost_touch = False
        self.away = False
        self._kick = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._asking = ThreadPoolExecutor(max_workers=4, thread_name_prefix="probe")

    # What calls do: memory only.

    def record(self, deployment_id: UUID) -> Record:
        found = self.records.get(deployment_id)
        if found is None:
            found = self.records.setdefault(deployment_id, Record())
        return found

    def took(self, deployment_id: UUID, verdict: Verdict, token: str = "", *, check: bool = False) -> None:
        """A call ended, or with a token: a probe, or a check."""
        with self._guard:
            circuit = self.record(deployment_id).circuit
            was_open = circuit.open
            now_ms, dice = clock_ms(), chance.dice()
            reports = self._reports.setdefault(deployment_id, _Reports())
            if not token:
                circuit.took(verdict, self.rules, now_ms, dice)
                if verdict is not Verdict.NONE:
                    reports.add(verdict.value, 1)
            else:
                self._probes.pop(token, None)
                judge = circuit.checked if check else circuit.probed
                judge(token, verdict, self.rules, now_ms, dice)
                reports.add("checked" if check else "probed", token, verdict.value)
            self._tell_change(deployment_id, was_open, circuit.open)
        if token or verdict is Verdict.FAILED:
            self._kick.set()

    def note_failure(self, deployment_id: UUID, code: str) -> None:
        with self._guard:
            record = self.record(deployment_id)
            record.failure, record.failed_ms = code, clock_ms()
            self._reports.setdefault(deployment_id, _Reports()).add("failure", code)

    def measured(self, deployment_id: UUID, first_token_seconds: float | None, tokens_per_second: float | None) -> None:
        """What a call that succeeded took. None: not known."""
        with self._guard:
            record = self.record(deployment_id)
            reports = self._reports.setdefault(deployment_id, _Reports())
            if first_token_seconds is not None:
                record.first_token_seconds = _moved(record.first_token_seconds, first_token_seconds)
                reports.measure("first_token", first_token_seconds)
            if tokens_per_second is not None:
                record.tokens_per_second = _moved(record.tokens_per_second, tokens_per_second)
                reports.measure("pace", tokens_per_second)

    # The one thing that may wait for Redis.

    async def ask(self, deployment_id: UUID, asker: Asker) -> str | None:
        """A token to probe with; empty where the breaker turns out to be closed; None where others have to be tried."""
        token = uuid4().hex
        answer: Answer | None = None
        if not self.away:
            asking = self._asking.submit(self._ask_fleet, deployment_id, token, asker)
            try:
                answer = await asyncio.wrap_future(asking)
            except asyncio.CancelledError:
                # Not before the question was answered: the lease may still be granted, and nobody is left to probe.
                asking.add_done_callback(partial(self._unwanted, deployment_id, token, asker))
                raise
        with self._guard:
            if answer is None:
                answer = self.record(deployment_id).circuit.ask(token, asker, self.rules, clock_ms())
            if answer is Answer.GRANTED:
                self._probes[token] = deployment_id
                metrics.breaker_probe(asker.value)
                return token
        return "" if answer is Answer.CLOSED else None

    def _unwanted(self, deployment_id: UUID, token: str, asker: Asker, asked: "Future[Answer | None]") -> None:
        """Give back the lease that a caller who went away may have been granted."""
        if not asked.cancelled() and asked.exception() is None and asked.result() is Answer.GRANTED:
            self.took(deployment_id, Verdict.NONE, token, check=asker is Asker.CHECK)

    def _ask_fleet(self, deployment_id: UUID, token: str, asker: Asker) -> Answer | None:
        if deployment_id in self._reports and not self.sync():
            return None  # the fleet would judge by less than this process knows
        try:
            answer, told, now = self._run(PROBE, str(deployment_id), token, asker.value)
        except RedisError as error:
            log.warning("fleet.probe_unasked", error=type(error).__name__)
            return None
        with self._guard:
            self._adopt(deployment_id, orjson.loads(told), clock_ms() - int(now))
        return Answer(answer)

    # The channel.

    def start(self) -> None:
        """Begin to share, in a thread of its own. Harmless where it runs already; a forked process begins anew."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._guard:
            if self._thread is None or not self._thread.is_alive():
                self._stopping.clear()
                self._thread = threading.Thread(target=self._share, name="fleet", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Report what is left, and stop."""
        self._stopping.set()
        self._kick.set()
        if self._thread is not None:
            self._thread.join(timeout=3 * _REDIS_SECONDS)
        self._asking.shutdown(wait=False)
        self._redis.close()

    def _share(self) -> None:
        while True:
            try:
                self.sync()  # at once: a new process that knows nothing would call whoever fails
            except Exception:
                log.exception("fleet.sync_failed")  # the thread goes on: without it nobody learns anything
            if self._stopping.is_set():
                return
            if self._kick.wait(SYNC_SECONDS * chance.between(0.9, 1.1)):
                self._stopping.wait(_COALESCE_SECONDS)
            self._kick.clear()

    def sync(self) -> bool:
        """One exchange: tell what was counted, learn what changed. False where Redis did not answer."""
        with self._syncing:
            with self._guard:
                reports, self._reports = self._reports, {}
                words = self._words(reports)
            try:
                epoch, version, now, *told = self._run(SYNC, *self._seen, chance.dice(), *words)
            except RedisError as error:
                # What could not be told stays in this process's own counts: told later it would be taken for new.
                if not self.away:
                    log.warning("fleet.alone", error=type(error).__name__)
                self.away = True
                return False
            with self._guard:
                offset_ms = clock_ms() - int(now)
                for name, fields in zip(told[::2], told[1::2], strict=True):
                    self._adopt(UUID(name), orjson.loads(fields), offset_ms)
                # Whoever has lost touch, or whose fleet has lost its memory, teaches next time what it knows.
                self._lost_touch = self.away or self._seen[0] not in ("", epoch)
                self._seen = epoch, int(version)
                self.away = False
            if self._lost_touch:
                self._kick.set()
            self._export()
            return True

    def _words(self, reports: dict[UUID, _Reports]) -> list[str]:
        """The reports as the script reads them: deployment, kind, value, extra."""
        now_ms = clock_ms()
        words: list[str] = []
        if self._lost_touch:
            for id, record in self.records.items():
                if record.circuit.open:
                    left_ms = record.circuit.retry_after_ms(now_ms)
                    words += [str(id), "teach", str(left_ms), str(record.circuit.openings)]
        for id, one in reports.items():
            for kind, value, extra in one.events:
                words += [str(id), kind, str(value), extra]
            for kind, (mean, count) in one.measured.items():
                words += [str(id), kind, repr(mean), str(count)]
        for token, id in self._probes.items():
            self.record(id).circuit.renew(token, self.rules, now_ms)
            words += [str(id), "renew", token, ""]
        return words

    def _adopt(self, deployment_id: UUID, told: dict[str, Any], offset_ms: int) -> None:
        """The fleet's word replaces this process's own."""
        record = self.record(deployment_id)
        was_open = record.circuit.open
        record.circuit = Circuit.from_fields(told, record.circuit.window, offset_ms)
        for name in ("first_token_seconds", "tokens_per_second"):
            if (value := told.get(name)) is not None:
                setattr(record, name, float(value))
        if told.get("failure"):
            record.failure, record.failed_ms = str(told["failure"]), int(told["failed_ms"]) + offset_ms
        self._tell_change(deployment_id, was_open, record.circuit.open)

    def _tell_change(self, deployment_id: UUID, was_open: bool, is_open: bool) -> None:
        if was_open == is_open:
            return
        metrics.breaker_changed("open" if is_open else "closed")
        record = self.records[deployment_id]
        log.warning(
            "breaker.opened" if is_open else "breaker.closed",
            deployment_id=str(deployment_id),
            name=record.name,
            failure=record.failure,
            openings=record.circuit.openings,
        )

    def _export(self) -> None:
        now_ms = clock_ms()
        for record in list(self.records.values()):
            if record.name is not None:
                circuit = record.circuit
                state = 0 if not circuit.open else 2 if now_ms < circuit.until_ms else 1
                metrics.deployment(
                    record.name, state, record.first_token_seconds, record.tokens_per_second, record.in_flight
                )

    def _run(self, script: tuple[str, str], *words: object) -> list[Any]:
        text, sha = script
        arguments = (*self._keys, *map(str, (*self.rules.numbers, *words)))
        try:
            reply = self._redis.evalsha(sha, len(self._keys), *arguments)
        except NoScriptError:
            reply = self._redis.eval(text, len(self._keys), *arguments)
        return list(reply)


def clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _moved(held: float | None, value: float) -> float:
    return value if held is None else held + (value - held) * _WEIGHT


_made: tuple[int, Fleet] | None = None
_making = threading.Lock()


def current() -> Fleet:
    """This process's fleet, sharing from the first time it is asked for. A forked process gets one of its own."""
    global _made
    if _made is None or _made[0] != os.getpid():
        with _making:
            if _made is None or _made[0] != os.getpid():
                _made = os.getpid(), _from_settings()
    _made[1].start()
    return _made[1]


def close() -> None:
    """Report what is left, and stop sharing. For the end of a process."""
    if _made is not None and _made[0] == os.getpid():
        _made[1].close()


def _from_settings() -> Fleet:
    rules = Rules(
        failures=settings.BREAKER_FAILURES,
        rate_calls=4 * settings.BREAKER_FAILURES,
        open_ms=math.ceil(settings.BREAKER_OPEN_SECONDS * 1000),
        open_max_ms=math.ceil(settings.BREAKER_OPEN_MAX_SECONDS * 1000),
    )
    return Fleet(settings.REDIS_URL, prefix=settings.REDIS_PREFIX, rules=rules)
