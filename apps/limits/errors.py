"""What can go wrong beside a refusal (a refusal is a result, see `contracts.Refused`).

LimitsError
├── LimitsUnavailable   Redis does not answer
├── Rebuilding          the counters are being rebuilt by somebody else
└── AlreadySettled      the call is over, it cannot be admitted again
OutOfRange (ValueError) an amount, a limit or a time that the counters cannot hold exactly
"""

from typing import ClassVar


class LimitsError(Exception):
    """Root. `code`, `status` (HTTP) and `retryable` let every door tell the error alike."""

    code: ClassVar[str] = "limits_error"
    status: ClassVar[int] = 503
    retryable: ClassVar[bool] = True


class LimitsUnavailable(LimitsError):
    """Redis did not answer in time. The script may have run: repeat with the same call id, or let the lease expire."""

    code = "limits_unavailable"


class Rebuilding(LimitsError):
    """Another process is rebuilding the tenant's counters and did not finish in the time we wait."""

    code = "limits_rebuilding"


class AlreadySettled(LimitsError):
    """The call id was settled before; it names a call that is over."""

    code = "call_already_settled"
    status = 409
    retryable = False


class OutOfRange(ValueError):
    """The value cannot be counted exactly, so it is refused before it reaches Redis."""
