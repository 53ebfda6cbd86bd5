"""One file per drill. `DRILLS` lists all of them, variants included, in the order they run."""

from chaos.drills import worker_killed
from chaos.trial import Drill

DRILLS: tuple[Drill, ...] = (*worker_killed.DRILLS,)
