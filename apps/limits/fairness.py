"""Which tenants' calls a process takes when it has more to do than it can: max-min fairness over calls in flight.

Nothing is shared between processes, and nothing asked of Redis. `Shares` decides, `Pressure` says how much there is to
share: it watches how late the event loop is.
"""

from collections import defaultdict
from collections.abc import Hashable


class Shares:
    """Calls in flight by tenant, and whether one more is within its tenant's share of `capacity`.

    The k-th call of a tenant stands at height k. The level is the greatest height up to which all calls together fit
    into the capacity: that is what max-min fairness gives to each tenant that wants as much. Below capacity whoever
    comes is taken. At capacity a call is taken that stands within the level, so that whoever is above it waits for
    those who are below. Both operations take constant time, but for the level's own way.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.total = 0
        self.level = 0
        self._within = 0  # calls at the level or below
        self._running: dict[Hashable, int] = {}
        self._standing: defaultdict[int, int] = defaultdict(int)  # calls at each height

    def running(self, tenant: Hashable) -> int:
        return self._running.get(tenant, 0)

    def enter(self, tenant: Hashable, calls: int = 1) -> bool:
        """Take all the calls, or none."""
        height = self._running.get(tenant, 0) + calls
        if self.total + calls > self.capacity and not self._fits(height, calls):
            return False
        self._running[tenant] = height
        self.total += calls
        for place in range(height - calls + 1, height + 1):
            self._standing[place] += 1
            self._within += place <= self.level
        self._find_level()
        return True

    def leave(self, tenant: Hashable, calls: int = 1) -> None:
        height = self._running[tenant]
        for place in range(height - calls + 1, height + 1):
            self._standing[place] -= 1
            if not self._standing[place]:
                del self._standing[place]
            self._within -= place <= self.level
        self.total -= calls
        if height == calls:
            del self._running[tenant]
        else:
            self._running[tenant] = height - calls
        self._find_level()

    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self._find_level()

    def _fits(self, height: int, calls: int) -> bool:
        """Whether calls up to this height are within the level that they themselves would lead to."""
        if height > self.level:
            return False
        above = self._within + calls - self.capacity
        place = self.level
        while above > 0 and place > height:
            above -= self._standing.get(place, 0)
            place -= 1
        return above <= 0

    def _find_level(self) -> None:
        while self._within > self.capacity and self.level:
            self._within -= self._standing.get(self.level, 0)
            self.level -= 1
        while (standing := self._standing.get(self.level + 1, 0)) and self._within + standing <= self.capacity:
            self._within += standing
            self.level += 1


class Pressure:
    """How many calls a process takes: `most`, or fewer for as long as its event loop is later than `late_seconds`.

    `observe` is told several times a second how late the loop was.
    """

    LEAST = 32
    _WEIGHT = 0.3
    _SHRINK = 0.9
    _GROW = 1.1

    def __init__(self, most: int, late_seconds: float) -> None:
        self.most = most
        self.late_seconds = late_seconds
        self.lag_seconds = 0.0
        self.shares = Shares(most)

    @property
    def relaxed(self) -> bool:
        """Nothing is in flight, and nothing is left of what was."""
        return not self.shares.total and self.shares.capacity == self.most and self.lag_seconds < self.late_seconds / 2

    def observe(self, lag_seconds: float) -> None:
        self.lag_seconds += self._WEIGHT * (lag_seconds - self.lag_seconds)
        capacity = self.shares.capacity
        if self.lag_seconds > self.late_seconds:
            # One step at a time: the next when there are no more calls than the last one left room for.
            if self.shares.total <= capacity:
                capacity = min(capacity, max(self.LEAST, int(self.shares.total * self._SHRINK)))
        elif self.lag_seconds < self.late_seconds / 2:
            capacity = min(self.most, int(capacity * self._GROW) + 1)
        if capacity != self.shares.capacity:
            self.shares.resize(capacity)
