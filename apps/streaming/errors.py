"""What can go wrong with a log.

StreamingError
├── Fenced            a later claim owns the log
├── LogOverflow       the generation's entries exceed what is kept in memory
├── LogClosed         the handle or the subscription is over
├── SlowReader        the subscriber did not keep up
└── LogUnavailable    Redis does not answer; readers and writers repeat by themselves
"""

from typing import ClassVar


class StreamingError(Exception):
    """Root. `code`, `status` (HTTP) and `retryable` let every door tell the error alike."""

    code: ClassVar[str] = "streaming_error"
    status: ClassVar[int] = 503
    retryable: ClassVar[bool] = True


class Fenced(StreamingError):
    """A higher fence has opened this log: the generation belongs to another worker. Stop, and write nothing more."""

    code = "fenced"
    status = 409
    retryable = False


class LogOverflow(StreamingError):
    """The generation wrote more than the cap. The log can still be closed."""

    code = "log_overflow"
    status = 413
    retryable = False


class LogClosed(StreamingError):
    """The handle was closed or discarded, or the subscription was closed. Nothing more goes through it."""

    code = "log_closed"
    status = 409
    retryable = False


class SlowReader(StreamingError):
    """More entries waited than the subscriber may queue. Subscribe again after the last entry that was taken."""

    code = "slow_reader"
    status = 503
    retryable = True


class LogUnavailable(StreamingError):
    """Redis did not answer in time. What was sent may have happened; appends can be repeated."""

    code = "log_unavailable"
    status = 503
    retryable = True
