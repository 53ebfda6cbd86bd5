"""Log lines of the hot path: one for each call, of fields that are known to hold no secret and nobody's words.

What every other line passes (redaction, the context of its task, a renderer for anything) costs more than admitting the
call. Whoever writes here names each field, and all of them are ids, names of the catalogue, words of ours or numbers.
"""

import json
import logging
import sys
from contextlib import nullcontext
from datetime import UTC, datetime

import orjson

NAME = "switchboard.calls"
# The record's attribute that holds what `write` was given.
FIELDS = "switchboard_fields"

_logger = logging.getLogger(NAME)


def write(event: str, fields: dict[str, str | int | float | bool | None]) -> None:
    """One line at level INFO."""
    if not _logger.isEnabledFor(logging.INFO):
        return
    for handler in _logger.handlers:
        if isinstance(handler, LineHandler):
            handler.write(event, fields)
            return
    _logger.info(event, extra={FIELDS: fields})


class LineHandler(logging.Handler):
    """Writes lines of JSON to standard error, without a record of `logging` for each: that alone costs as much as the
    line. ASCII alone, so that no reader takes a name's letters for the end of a line."""

    def write(self, event: str, fields: dict[str, str | int | float | bool | None]) -> None:
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        told = {"event": event, **fields, "logger": NAME, "level": "info", "timestamp": at}
        line = orjson.dumps(told)
        text = line.decode() if line.isascii() else json.dumps(told)
        with self.lock or nullcontext():
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self.write(record.getMessage(), getattr(record, FIELDS, {}))
