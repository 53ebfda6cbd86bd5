"""The rules of one circuit breaker, without clock, dice or I/O. `scripts/circuit.lua` holds the same for the fleet.

closed: calls pass. Enough failures in a row, or too high a share of many calls, open it.
open: calls go elsewhere until `until_ms`. From then on it is half-open: one call, the probe, may try.
A probe that succeeds closes it; one that fails opens it again, for longer.

Times are whole milliseconds of any one clock. `dice` is a number from 0 to 999.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

_BUCKETS = 6
# Between two health checks, and between two probes by calls that have nowhere else to go, in the whole fleet.
PAUSE_MS = 1_000
# Some providers answer and list no models. After so many openings in a row, some minutes, failed checks keep it open no
# longer, and calls may find out.
PATIENT_OPENINGS = 16


@dataclass(frozen=True, slots=True)
class Rules:
    """When a breaker opens, and for how long. `rate_percent` counts from `rate_calls` calls in the window on."""

    failures: int = 5
    rate_percent: int = 50
    rate_calls: int = 20
    window_ms: int = 60_000
    open_ms: int = 2_000
    open_max_ms: int = 16_000
    # A breaker that opens again within this time after closing stays open for longer.
    relapse_ms: int = 60_000
    lease_ms: int = 5_000

    @property
    def numbers(self) -> tuple[int, ...]:
        """In the order the scripts read them."""
        return (
            self.failures,
            self.rate_percent,
            self.rate_calls,
            self.window_ms,
            self.open_ms,
            self.open_max_ms,
            self.relapse_ms,
            self.lease_ms,
        )


class Verdict(StrEnum):
    """What a call says about its deployment. `NONE`: nothing, such as a 429 or a caller who hung up."""

    OK = "ok"
    FAILED = "failed"
    NONE = "none"


class Asker(StrEnum):
    """Who wants to probe: an ordinary call, one that has nowhere else to go, or a health check."""

    CALL = "call"
    LONE = "lone"
    CHECK = "check"


class Answer(StrEnum):
    CLOSED = "closed"
    GRANTED = "granted"
    REFUSED = "refused"


@dataclass(slots=True)
class Circuit:
    """One deployment's breaker. `unlisted`: its provider failed a health check too since the breaker opened."""

    open: bool = False
    in_a_row: int = 0
    openings: int = 0
    opened_ms: int = 0
    until_ms: int = 0
    closed_ms: int = 0
    probe: str = ""
    probe_until_ms: int = 0
    probed_ms: int = 0
    unlisted: bool = False
    # Bucket number -> calls and failures.
    window: dict[int, tuple[int, int]] = field(default_factory=dict)

    def took(self, verdict: Verdict, rules: Rules, now_ms: int, dice: int) -> None:
        """A call that was no probe ended. One that ends after the breaker opened began before: it says nothing."""
        if self.open or verdict is Verdict.NONE:
            return
        number = now_ms // max(1, rules.window_ms // _BUCKETS)
        calls, failures = self.window.get(number, (0, 0))
        failed = verdict is Verdict.FAILED
        self.window[number] = calls + 1, failures + failed
        self.in_a_row = self.in_a_row + 1 if failed else 0
        if not failed and len(self.window) < 4 * _BUCKETS:
            return
        self.window = {one: counted for one, counted in self.window.items() if one > number - _BUCKETS}
        if not failed:
            return
        calls = sum(counted[0] for counted in self.window.values())
        failures = sum(counted[1] for counted in self.window.values())
        often = calls >= rules.rate_calls and failures * 100 >= calls * rules.rate_percent
        if self.in_a_row >= rules.failures or often:
            if now_ms - self.closed_ms >= rules.relapse_ms:
                self.openings = 0
            self.unlisted = False
            self._open(rules, now_ms, dice)

    def ask(self, token: str, asker: Asker, rules: Rules, now_ms: int) -> Answer:
        """Whether the holder of `token` may probe now. The lease ends by itself."""
        if not self.open:
            return Answer.CLOSED
        if not self.admits(asker, now_ms):
            return Answer.REFUSED
        self.probe, self.probe_until_ms = token, now_ms + rules.lease_ms
        return Answer.GRANTED

    def renew(self, token: str, rules: Rules, now_ms: int) -> None:
        """The probe is still under way."""
        if self.probe == token:
            self.probe_until_ms = now_ms + rules.lease_ms

    def probed(self, token: str, verdict: Verdict, rules: Rules, now_ms: int, dice: int) -> None:
        """The call of that token ended. One that lost its lease to another counts as an ordinary call."""
        if not self._give_back(token, now_ms):
            self.took(verdict, rules, now_ms, dice)
        elif verdict is Verdict.OK:
            self._close(now_ms)
        elif verdict is Verdict.FAILED:
            self._open(rules, now_ms, dice)

    def checked(self, token: str, verdict: Verdict, rules: Rules, now_ms: int, dice: int) -> None:
        """A health check ended. A provider that lists its models may still fail to answer: only one that had failed
        to list them, and does again, is back."""
        if not self._give_back(token, now_ms):
            return
        if verdict is Verdict.OK and self.unlisted:
            self._close(now_ms)
        elif verdict is Verdict.FAILED:
            self.unlisted = True
            if now_ms >= self.until_ms and self.openings < PATIENT_OPENINGS:
                self._open(rules, now_ms, dice)

    def teach(self, left_ms: int, openings: int, now_ms: int) -> None:
        """What a process remembers of a breaker that the fleet has forgotten."""
        self.open, self.openings, self.opened_ms, self.until_ms = True, openings, now_ms, now_ms + left_ms

    def _give_back(self, token: str, now_ms: int) -> bool:
        if not self.open or self.probe != token:
            return False
        self.probe, self.probe_until_ms, self.probed_ms = "", 0, now_ms
        return True

    def _open(self, rules: Rules, now_ms: int, dice: int) -> None:
        self.openings = min(self.openings + 1, PATIENT_OPENINGS)
        duration_ms = min(rules.open_ms * 2 ** (self.openings - 1), rules.open_max_ms)
        self.open, self.opened_ms = True, now_ms
        self.until_ms = now_ms + duration_ms * (1_500 + dice) // 2_000
        self.in_a_row, self.window = 0, {}

    def _close(self, now_ms: int) -> None:
        self.open, self.closed_ms, self.in_a_row, self.window = False, now_ms, 0, {}
        self.unlisted = False

    def admits(self, asker: Asker, now_ms: int) -> bool:
        """Whether it makes sense to ask."""
        if not self.open:
            return True
        if self.probe and self.probe_until_ms > now_ms:
            return False
        rested = now_ms - max(self.opened_ms, self.probed_ms) >= PAUSE_MS
        if asker is Asker.CHECK:
            return rested
        return now_ms >= self.until_ms or (asker is Asker.LONE and rested)

    def retry_after_ms(self, now_ms: int) -> int:
        """When it makes sense to ask again."""
        return max(0, self.until_ms - now_ms) if self.open else 0

    @classmethod
    def from_fields(cls, told: dict[str, object], window: dict[int, tuple[int, int]], offset_ms: int) -> Self:
        """What the fleet told, with its times moved by `offset_ms` to this process's clock."""

        def number(name: str) -> int:
            value = told.get(name, 0)
            return int(value) if isinstance(value, int | float) else 0

        def moment(name: str) -> int:
            return number(name) + offset_ms if number(name) else 0

        return cls(
            open=bool(told.get("open")),
            in_a_row=number("in_a_row"),
            openings=number("openings"),
            opened_ms=moment("opened_ms"),
            until_ms=moment("until_ms"),
            closed_ms=moment("closed_ms"),
            probe=str(told.get("probe", "")),
            probe_until_ms=moment("probe_until_ms"),
            probed_ms=moment("probed_ms"),
            unlisted=bool(told.get("unlisted")),
            window={} if told.get("open") else window,
        )
