"""From a chunk's birth at the simulator to its arrival at a reader."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from math import inf

from benchmarks.site import TOKENS_PER_SECOND, UpstreamCall
from simulator.tokens import tokenize

Arrivals = list[tuple[float, str]]


def token_lags(
    arrivals: Arrivals, call: UpstreamCall, *, born_after: float = 0.0, born_before: float = inf
) -> Iterator[float]:
    """Seconds for each token. `arrivals` are (Unix seconds, text) of a whole answer, several tokens each perhaps.

    The simulator sends token n `n / TOKENS_PER_SECOND` after the first, by its own clock and never earlier; if it is
    late itself, that counts here too. Only tokens born between `born_after` and `born_before` count: a reader who came
    later than a token says nothing about it.
    """
    ends = list(accumulate(len(text) for _, text in arrivals))
    position = 0
    for number, token in enumerate(tokenize("".join(text for _, text in arrivals))):
        arrived_at = arrivals[bisect_right(ends, position)][0]
        position += len(token)
        born_at = call.first_token_at + number / TOKENS_PER_SECOND
        if born_after <= born_at < born_before:
            yield arrived_at - born_at
