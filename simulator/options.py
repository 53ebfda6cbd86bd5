"""Options that ride on a model's name: `demo-swift+tps=20+ttft=0+tokens=1200+chunk=1+fault=die@50`.

The same grammar, without the name, is read from the `X-Simulator-Options` header and from
`POST /control/options`. What the name says wins over the header, and the header over the control endpoint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache

from simulator.errors import InvalidRequest
from simulator.faults import Fault

_MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What may be overridden; None means "as the model does it"."""

    tps: float | None = None  # tokens per second, 0 = as fast as possible
    ttft: float | None = None  # milliseconds until the first token
    tokens: int | None = None  # exactly that many answer tokens
    chunk: int | None = None  # tokens per chunk
    reasoning: int | None = None  # exactly that many reasoning tokens
    cached: int | None = None  # prompt tokens reported as read from a cache
    hold: int | None = None  # tokens after which it waits (see `simulator/holds.py`)
    fault: str | None = None  # KIND or KIND@PARAMETER
    retry_after: float | None = None  # Retry-After in seconds, with a status fault
    retry_date: float | None = None  # the same, sent as an HTTP date

    def over(self, other: Options) -> Options:
        """These options, with the gaps filled from `other`."""
        given = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(other, **given)

    def named_fault(self) -> Fault | None:
        """The fault asked for by `fault=`. Raises InvalidRequest when there is no such kind."""
        if self.fault is None:
            return None
        try:
            return Fault.parse(self.fault, retry_after=self.retry_after, retry_date=self.retry_date)
        except ValueError as error:
            raise InvalidRequest(str(error), param="model") from None


def _bounded(convert: Callable[[str], float], low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = convert(text)
        if not low <= value <= high or math.isnan(value):
            raise ValueError(text)
        return value

    return read


_READERS: dict[str, Callable[[str], float | str]] = {
    "tps": _bounded(float, 0, 1_000_000),
    "ttft": _bounded(float, 0, 3_600_000),
    "tokens": _bounded(int, 0, _MAX_TOKENS),
    "chunk": _bounded(int, 1, 10_000),
    "reasoning": _bounded(int, 0, _MAX_TOKENS),
    "cached": _bounded(int, 0, _MAX_TOKENS),
    "hold": _bounded(int, 0, _MAX_TOKENS),
    "fault": str,
    "retry_after": _bounded(float, 0, 86_400),
    "retry_date": _bounded(float, 0, 86_400),
}
_PART = re.compile(r"(?P<key>[a-z_]+)=(?P<value>[^+]+)\Z")


@lru_cache(maxsize=4096)
def parse_options(text: str) -> Options:
    """Options from `key=value+key=value`. Raises InvalidRequest: unknown key, value out of bounds."""
    values: dict[str, float | str] = {}
    for part in filter(None, text.split("+")):
        match = _PART.match(part)
        reader = _READERS.get(match["key"]) if match else None
        if match is None or reader is None:
            raise InvalidRequest(f"Unknown option `{part}`. Known: {', '.join(_READERS)}.", param="model")
        try:
            values[match["key"]] = reader(match["value"])
        except ValueError:
            raise InvalidRequest(f"The value of option `{part}` is out of bounds.", param="model") from None
    return replace(Options(), **values)  # type: ignore[arg-type]  # the readers give each key its type


def split_name(requested: str) -> tuple[str, Options]:
    """The bare model name and the options that follow it."""
    slug, _, rest = requested.partition("+")
    return slug, parse_options(rest)
