"""Independent steps side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


def together(*jobs: Callable[[], object]) -> None:
    """Run jobs in threads and return when all are done; the first error is raised at once.

    The threads are daemons and nobody joins them after an error or Ctrl-C: what they wait for is stopped by whoever
    handles the error.
    """
    outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run(job: Callable[[], object]) -> None:
        try:
            job()
            outcomes.put(None)
        except BaseException as error:
            outcomes.put(error)

    for job in jobs:
        threading.Thread(target=run, args=(job,), daemon=True).start()
    for _ in jobs:
        error = outcomes.get()
        if error is not None:
            raise error
