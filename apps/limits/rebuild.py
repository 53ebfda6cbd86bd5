"""The steps of a rebuild, without I/O: both clients drive the same generator.

One process takes the lock, reads the caller's records and installs what it read; the others poll until it is done.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from apps.limits import protocol
from apps.limits.contracts import Counter, Projection, Wanted
from apps.limits.errors import Rebuilding

WAIT_SECONDS = 0.5
POLL_SECONDS = 0.02
LOCK_SECONDS = 10.0
# A lost lock (Redis forgot everything once more) starts the reading over this many times at most.
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Run:
    """Run the command and send its reply."""

    command: protocol.Command


@dataclass(frozen=True, slots=True)
class Load:
    """Read the records and send the projection; if that fails, throw the error into the generator."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep, then send nothing."""

    seconds: float


Step = Run | Load | Pause
Steps = Generator[Step, Any, None]


def steps(prefix: str, tenant_id: str | UUID, missing: Sequence[Counter], lease_seconds: float) -> Steps:
    """Yields steps until nothing is missing; raises `Rebuilding` where somebody else takes too long."""
    token = uuid4().hex
    polls_left = round(WAIT_SECONDS / POLL_SECONDS)
    attempts_left = ATTEMPTS
    while attempts_left:
        begun = protocol.parse_begun(
            (yield Run(protocol.begin_rebuild(prefix, tenant_id, token, missing, LOCK_SECONDS)))
        )
        if begun is True:
            return
        if begun is False:
            if not polls_left:
                raise Rebuilding("the limits of this tenant are being rebuilt; try again in a moment")
            polls_left -= 1
            yield Pause(POLL_SECONDS)
            continue
        attempts_left -= 1
        try:
            projection: Projection = yield Load(begun.wanted)
            install = protocol.install(prefix, tenant_id, token, begun, projection, lease_seconds)
        except BaseException:
            yield Run(protocol.abandon_rebuild(prefix, tenant_id, token))
            raise
        if protocol.parse_installed((yield Run(install))):
            return
    raise Rebuilding("the limits of this tenant were lost again and again while being rebuilt")
