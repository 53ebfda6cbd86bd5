"""Conditions that come true a little later."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], timeout_seconds: float = 5.0) -> bool:
    """Whether a condition comes true in time."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
