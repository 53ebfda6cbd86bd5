"""Log lines of the hot path: one for each call, of fields that are known to hold no secret and nobody's words.

What every other line passes (redaction, the context of its task, a renderer for anything) costs more than admitting the
call. Whoever writes here names each field, and all of them are ids, names of the catalogue, words of ours or numbers.
"""

import json
import logging
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
    record = logging.LogRecord(NAME, logging.INFO, "", 0, event, None, None)
    setattr(record, FIELDS, fields)
    _logger.handle(record)


class JsonLine(logging.Formatter):
    """The record as one line of JSON, ASCII alone, so that no reader takes a name's letters for the end of a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        told = {"event": record.msg, **getattr(record, FIELDS, {}), "logger": NAME, "level": "info", "timestamp": at}
        line = orjson.dumps(told)
        return line.decode() if line.isascii() else json.dumps(told)
