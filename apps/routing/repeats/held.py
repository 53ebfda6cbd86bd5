"""A key that this process has claimed, while its call is being answered."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from secrets import token_hex
from typing import Any

import structlog
from django.conf import settings

from apps.routing.repeats import store
from apps.routing.repeats.errors import StoreAway
from apps.routing.repeats.place import Place
from apps.routing.repeats.store import Found, State

_GATHER_SECONDS = 0.05
_RENEW_SECONDS = 5.0
_LAST_TRIES = 3
_LONG_BYTES = 64 * 1024

log = structlog.get_logger(__name__)

_freeing: set[asyncio.Task[None]] = set()


class Held:
    """Writes the answer down as it is told, for whoever comes with the same key.

    What is told goes out in gathered pieces, beside the call. Where Redis is away they wait; where it has lost
    everything the key is claimed again, with all that was told so far. Nothing here fails the call itself.
    """

    def __init__(self, place: Place, fingerprint: bytes) -> None:
        self.owner = token_hex(8)
        self._place = place
        self._fingerprint = fingerprint
        self._head = b""
        self._gathered: list[bytes] = []
        self._pieces: list[bytes] = []
        self._known = 0
        self._bytes = 0
        self._large = False
        self._lost = False
        self._over = False
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None

    async def claim(self) -> Found:
        """Take the key; if it is new, it is held from now on. Raises `StoreAway`."""
        try:
            found = await store.claim(self._place, self.owner, self._fingerprint)
        except StoreAway:
            # It may be ours all the same, where the reply was late.
            _start(self.give_up())
            raise
        if found.state is State.NEW:
            self._tending = asyncio.create_task(self._tend())
        return found

    def begin(self, head: bytes) -> None:
        """The head of the answer is known: whoever waits for it may be told."""
        self._head = head
        self._wake.set()

    def add(self, piece: bytes) -> None:
        """Some of the body was told."""
        self._bytes += len(piece)
        if self._bytes > settings.IDEMPOTENCY_ANSWER_MAX_BYTES:
            self._large = True
            self._gathered.clear()
        if not self._large:
            self._gathered.append(piece)
        self._wake.set()

    async def keep(self) -> None:
        """The answer is complete. It is kept before its end is told and before it is paid for, where Redis answers."""
        if self._over:
            return
        self._end()
        for _ in range(_LAST_TRIES):
            if await self._say(ends=True):
                return
        log.warning("repeats.not_kept", tenant_id=str(self._place.tenant_id))

    async def give_up(self) -> None:
        """There is no answer to keep: the key is free again, at once where Redis answers, else after its lease."""
        if self._over:
            return
        self._end()
        async with self._lock:  # nothing on its way may claim what is being given back
            with suppress(StoreAway):
                await store.free(self._place, self.owner)

    def _end(self) -> None:
        """Not by cancelling: what is being packed or told would be lost, or come after the end."""
        self._over = True
        self._wake.set()

    async def _tend(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RENEW_SECONDS):
                    await self._wake.wait()
                    await asyncio.sleep(_GATHER_SECONDS)
            if self._over or self._lost:
                return
            self._wake.clear()
            if not await self._say():
                self._wake.set()

    async def _say(self, *, ends: bool = False) -> bool:
        """Write down what was not yet; whether that is done with."""
        async with self._lock:
            if self._over and not ends:
                return True
            await self._pack()
            try:
                state = await self._told(ends)
                if state is State.GONE and await self._claimed_again():
                    state = await self._told(ends)
            except StoreAway:
                return False
            if state in (State.LOST, State.GONE):
                self._lost = True
                log.warning("repeats.key_lost", tenant_id=str(self._place.tenant_id))
            elif state is State.LARGE:
                self._large = True
                self._pieces.clear()
            else:
                self._known = len(self._pieces)
            return True

    async def _pack(self) -> None:
        told, self._gathered = b"".join(self._gathered), []
        if self._large:
            self._pieces.clear()
        elif told:
            # What takes milliseconds is left to a thread: zlib lets the event loop go on meanwhile.
            is_long = len(told) > _LONG_BYTES
            self._pieces.append(await asyncio.to_thread(store.packed, told) if is_long else store.packed(told))

    async def _told(self, ends: bool) -> State:
        return await store.say(
            self._place,
            self.owner,
            self._known,
            self._pieces[self._known :],
            head=self._head,
            large=self._large,
            ends=ends,
        )

    async def _claimed_again(self) -> bool:
        """After Redis lost everything: unless somebody was quicker, the key is ours, and nothing of it is known."""
        found = await store.claim(self._place, self.owner, self._fingerprint)
        self._known = 0
        return found.state is State.NEW


def _start(work: Coroutine[Any, Any, None]) -> None:
    """Nobody waits for it."""
    task = asyncio.create_task(work)
    _freeing.add(task)
    task.add_done_callback(_freeing.discard)
