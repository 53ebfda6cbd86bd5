"""Logs: one event per line, as JSON or for a console, with the context that `context.bound` gave."""

import logging.config
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from apps.observability import lines
from apps.observability.redaction import redact, without_secrets

# Chatty at INFO, and what they say is counted elsewhere.
_QUIET = ("aiohttp.access", "asyncio", "daphne.http_protocol", "daphne.ws_protocol", "httpx", "uvicorn.access")


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at that moment; it may be replaced after logging was switched on."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _redact_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    if isinstance(event.get("exception"), str):
        event["exception"] = without_secrets(event["exception"])
    return event


def _flat(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The fields of a line of the hot path among the others."""
    return {**event, **event.pop(lines.FIELDS)} if lines.FIELDS in event else event


def _shared() -> list[Processor]:
    """What each event passes, whether it comes from structlog or from the standard library."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        _flat,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        structlog.processors.StackInfoRenderer(),
        # Plain tracebacks: the pretty ones show local variables, and those hold prompts and keys.
        structlog.processors.format_exc_info,
        _redact_exception,
    ]


_as_json = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
# JSON lets them stand as they are; readers that split text into lines take them for ends of a line.
_FURTHER_LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}


def _one_line(logger: Any, method: str, event: EventDict) -> str:
    """One event, one line, whoever reads it: no text that people chose begins another."""
    return str(_as_json(logger, method, event)).translate(_FURTHER_LINE_ENDS)


def settings(*, level: str, format: Literal["json", "console"]) -> dict[str, Any]:
    """The `logging.config.dictConfig` document; one handler, to standard error."""
    renderer: Processor = (
        _one_line
        if format == "json"
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "event": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _shared(),
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            }
        },
        "handlers": {
            "stderr": {"()": StderrHandler, "formatter": "event"},
            **({"lines": {"()": lines.LineHandler}} if format == "json" else {}),
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            lines.NAME: {"handlers": ["lines" if format == "json" else "stderr"], "level": level, "propagate": False},
            **{name: {"level": "WARNING"} for name in _QUIET},
        },
    }


def configure(*, level: str = "INFO", format: Literal["json", "console"] = "json") -> None:
    """Switch logging on for this process. Loggers come from `structlog.get_logger()`; calling again replaces all."""
    logging.config.dictConfig(settings(level=level, format=format))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
