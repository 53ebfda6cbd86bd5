"""One watch per process over everything that stays open: who opened it must still stand, asked every two seconds.

One round asks for all connections of the process together, however many there are. It needs the database alone: a
hint may start a round early, and a hint that is lost costs two seconds.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from apps.problems import Problem
from apps.tenants.contracts import Principal
from apps.tenants.edge.problems import translate
from apps.tenants.scope import database_step
from apps.tenants.standing import Register, Standing

ROUND_SECONDS = 2.0
# A principal that a round confirmed this recently is believed. Longer than a round, so that nobody asks between two.
FRESH_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Seat:
    """One open connection. `standing` says what became of its principal; it never stands again after it ended."""

    def __init__(self, principal: Principal, on_end: Callable[[Standing], None]) -> None:
        self.principal = principal
        self.standing = Standing.STANDS
        self.proved_at = time.monotonic()
        self._on_end = on_end

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.proved_at <= FRESH_SECONDS

    def take(self, standing: Standing, asked_at: float) -> None:
        """Note a round's answer; its end is told once."""
        if self.standing is not Standing.STANDS:
            return
        self.proved_at, self.standing = asked_at, standing
        if standing is not Standing.STANDS:
            self._on_end(standing)


class Watch:
    """Belongs to one event loop. Works only while somebody is seated."""

    def __init__(self) -> None:
        self._seats: set[Seat] = set()
        self._register = Register()
        self._rounds: asyncio.Task[None] | None = None
        self._round: asyncio.Task[None] | None = None

    def enter(self, principal: Principal, on_end: Callable[[Standing], None]) -> Seat:
        """Watch over a connection until `leave`. `on_end` is called on the event loop, once, and must not block."""
        seat = Seat(principal, on_end)
        self._seats.add(seat)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._go_round())
        return seat

    def leave(self, seat: Seat) -> None:
        self._seats.discard(seat)

    async def ask(self) -> None:
        """A round now, or the one that is under way. Raises `Unavailable` where the database does not answer."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask())
            # Whoever asked may be gone by the time it fails.
            self._round.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._round)

    async def hurry(self) -> None:
        """A round now, for all who care for no answer. Where it fails, the next one comes by itself."""
        try:
            await self.ask()
        except Problem as problem:  # a database that does not answer ends nobody's chat
            log.warning("watch.unanswered", code=problem.code)
        except Exception:
            log.exception("watch.failed")

    async def freshen(self, seat: Seat) -> None:
        """Make sure that the seat's standing is seconds old. Raises `Unavailable`."""
        if not seat.is_fresh:
            await self.ask()

    async def _go_round(self) -> None:
        while self._seats:
            await asyncio.sleep(ROUND_SECONDS)
            await self.hurry()

    async def _ask(self) -> None:
        seats, asked_at = list(self._seats), time.monotonic()
        try:
            standings = await database_step(self._register.standings, [seat.principal for seat in seats])
        except Exception as error:
            problem = translate(error)
            if problem is None:
                raise
            raise problem from error
        for seat, standing in zip(seats, standings, strict=True):
            seat.take(standing, asked_at)
