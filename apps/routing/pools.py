"""Room in pools of one's own: so many calls at once in the whole fleet, a short line, and then elsewhere.

Only deployments that have a limit ask Redis, once per call and once per look from the line. A place is a lease that its
process renews, so that a process that dies gives its places back. While Redis is away each process keeps to the limit
by itself, and asks again every second.
"""

import asyncio
import hashlib
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from apps.routing import chance
from apps.routing.contracts import Candidate

# How long a place is kept for a process that says nothing more.
LEASE_SECONDS = 15.0
# How long a call stands in line before it goes elsewhere, and how often it looks whether its turn has come.
LINE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_REDIS_SECONDS = 0.5
# So long is a Redis that failed not asked again: a line of calls that each wait for it would be the slower failure.
_ALONE_SECONDS = 1.0
_SCRIPT = (Path(__file__).parent / "scripts" / "pool.lua").read_text(encoding="utf-8")
# SHA-1 is the name Redis gives to scripts, not a protection.
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()

log = structlog.get_logger(__name__)


class Place:
    """One call's room in a pool, until it leaves."""

    __slots__ = ("_deployment_id", "_pools", "token")

    def __init__(self, pools: "Pools", deployment_id: UUID, token: str) -> None:
        self._pools = pools
        self._deployment_id = deployment_id
        self.token = token

    def leave(self) -> None:
        """Give the room back. Waits for nothing."""
        self._pools.left(self._deployment_id, self.token)


class Pools:
    """The pools that this process calls. Safe for threads and event loops."""

    def __init__(self, url: str, *, prefix: str = "", lease_seconds: float = LEASE_SECONDS) -> None:
        self._lease_seconds = lease_seconds
        self._redis: Redis = Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_connect_timeout=_REDIS_SECONDS,
            socket_timeout=_REDIS_SECONDS,
        )
        self._prefix = prefix
        self._guard = threading.Lock()
        self._held: dict[UUID, set[str]] = {}
        self._alone_until = 0.0
        self._asking = ThreadPoolExecutor(max_workers=4, thread_name_prefix="pool")
        # Apart, so that nobody who wants to enter waits behind those who leave a Redis that is away.
        self._leaving = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pool-leaving")
        self._renewing: threading.Thread | None = None

    async def enter(self, candidate: Candidate, seconds: float) -> Place | None:
        """Room for one call, after standing in line for at most that long; None where there is none.

        Leave the place when the call is over. A caller that is cancelled in the line leaves it.
        """
        token = uuid4().hex
        ends_at = time.monotonic() + min(seconds, LINE_SECONDS)
        place = None
        asking: Future[str] | None = None
        try:
            while True:
                asking = self._asking.submit(self._enter, candidate, token)
                told = await asyncio.wrap_future(asking)
                if told == "held":
                    place = Place(self, candidate.deployment_id, token)
                    return place
                if told == "full" or time.monotonic() >= ends_at:
                    return None
                await asyncio.sleep(_LOOK_SECONDS * chance.between(0.75, 1.25))
        finally:
            if place is None and asking is not None:
                # Not before the last question was answered: it may still be granted.
                asking.add_done_callback(lambda _: self.left(candidate.deployment_id, token))

    def left(self, deployment_id: UUID, token: str) -> None:
        """Nobody stands or works under that token any more."""
        with self._guard:
            self._held.get(deployment_id, set()).discard(token)
        with suppress(RuntimeError):  # the process ends, and its leases with it
            self._leaving.submit(self._leave, deployment_id, token)

    def _enter(self, candidate: Candidate, token: str) -> str:
        id, places = candidate.deployment_id, candidate.max_parallel or 0
        told = None
        if time.monotonic() >= self._alone_until:
            try:
                told = self._run(id, "enter", places, candidate.max_waiting, token)
            except RedisError as error:
                self._alone_until = time.monotonic() + _ALONE_SECONDS
                log.warning("pool.alone", error=type(error).__name__)
        with self._guard:
            if told is None:
                told = "held" if len(self._held.get(id, ())) < places else "full"
            if told == "held":
                self._held.setdefault(id, set()).add(token)
                if self._renewing is None or not self._renewing.is_alive():
                    self._renewing = threading.Thread(target=self._renew_forever, name="pools", daemon=True)
                    self._renewing.start()
        return told

    def _leave(self, deployment_id: UUID, token: str) -> None:
        try:
            self._run(deployment_id, "leave", 0, 0, token)
        except RedisError as error:
            log.warning("pool.not_left", error=type(error).__name__)  # its lease ends by itself

    def _renew_forever(self) -> None:
        """Renew what is held, and end when nothing is."""
        while True:
            time.sleep(self._lease_seconds / 4)
            with self._guard:
                self._held = {id: tokens for id, tokens in self._held.items() if tokens}
                held = {id: sorted(tokens) for id, tokens in self._held.items()}
                if not held:
                    self._renewing = None
                    return
            for id, tokens in held.items():
                self._renew(id, tokens)

    def _renew(self, deployment_id: UUID, tokens: list[str]) -> None:
        try:
            self._run(deployment_id, "renew", 0, 0, *tokens)
        except RedisError as error:
            log.warning("pool.not_renewed", error=type(error).__name__)
        with self._guard:
            left = set(tokens) - self._held.get(deployment_id, set())
        for token in left:
            # It left while it was being renewed: its place may have been taken again after it was given back.
            self._leave(deployment_id, token)

    def _run(self, deployment_id: UUID, operation: str, places: int, waiting: int, *tokens: str) -> str:
        keys = [f"{self._prefix}{{pool:{deployment_id}}}:{name}" for name in ("held", "line", "waiting")]
        words = (operation, places, waiting, round(self._lease_seconds * 1000), *tokens)
        try:
            reply = self._redis.evalsha(_SHA, len(keys), *keys, *map(str, words))
        except NoScriptError:
            reply = self._redis.eval(_SCRIPT, len(keys), *keys, *map(str, words))
        return str(reply)


_made: Pools | None = None
_making = threading.Lock()


def current() -> Pools:
    """This process's pools."""
    global _made
    if _made is None:
        with _making:
            _made = _made or Pools(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)
    return _made
