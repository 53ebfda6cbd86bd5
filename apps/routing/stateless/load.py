"""How many calls this process takes at once, and whose: see `apps.limits.fairness`. In memory, for each event loop."""

import asyncio
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings

from apps.limits.fairness import Pressure
from apps.observability import metrics
from apps.routing.errors import Overloaded

_TICK_SECONDS = 0.1


class Load:
    """The calls of one event loop. While there are any, it is watched how late the loop is."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.pressure = Pressure(settings.GATEWAY_CALLS_PER_PROCESS, settings.GATEWAY_LATE_SECONDS)
        self._time = loop.time
        self._call_at = loop.call_at
        self._watching = False

    def enter(self, tenant_id: UUID, calls: int) -> None:
        """Raises `Overloaded`, having counted nothing. What has entered must `leave`."""
        if not self.pressure.shares.enter(tenant_id, calls):
            metrics.gateway_shed()
            raise Overloaded
        if not self._watching:
            self._watching = True
            self._watch()

    def leave(self, tenant_id: UUID, calls: int) -> None:
        self.pressure.shares.leave(tenant_id, calls)

    def _watch(self) -> None:
        due = self._time() + _TICK_SECONDS
        self._call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        pressure = self.pressure
        pressure.observe(max(0.0, self._time() - due))
        metrics.gateway_load(pressure.shares.total, pressure.shares.capacity, pressure.lag_seconds)
        if pressure.relaxed:
            self._watching = False
        else:
            self._watch()


_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Load] = WeakKeyDictionary()


def here() -> Load:
    """That of the running event loop."""
    loop = asyncio.get_running_loop()
    load = _by_loop.get(loop)
    if load is None:
        load = _by_loop[loop] = Load(loop)
    return load
