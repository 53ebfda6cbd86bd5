"""One file per drill. `DRILLS` lists all of them, variants included, in the order they run."""

from chaos.drills import (
    cancelling,
    limited,
    provider_down,
    provider_faults,
    redis_lost,
    repeated,
    revoked,
    rings,
    walls,
    web_killed,
    worker_killed,
    worker_stopped,
    worker_terminated,
)
from chaos.trial import Drill

DRILLS: tuple[Drill, ...] = (
    *worker_killed.DRILLS,
    *worker_stopped.DRILLS,
    *worker_terminated.DRILLS,
    *redis_lost.DRILLS,
    *web_killed.DRILLS,
    *rings.DRILLS,
    *cancelling.DRILLS,
    *provider_faults.DRILLS,
    *provider_down.DRILLS,
    *repeated.DRILLS,
    *limited.DRILLS,
    *walls.DRILLS,
    *revoked.DRILLS,
)
