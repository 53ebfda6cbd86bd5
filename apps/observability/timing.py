"""How long a stage took: one log line each."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_log = structlog.get_logger(__name__)


@contextmanager
def stage(name: str, **fields: str | int | float | None) -> Iterator[None]:
    """Logs `stage` with `duration_ms` and `outcome` (ok, or the error's class) when the block ends; raises on."""
    began = time.monotonic()
    outcome = "ok"
    try:
        yield
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        duration_ms = round((time.monotonic() - began) * 1000, 3)
        _log.info("stage", stage=name, duration_ms=duration_ms, outcome=outcome, **fields)
