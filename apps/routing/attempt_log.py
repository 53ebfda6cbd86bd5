"""What logs say of an attempt at a provider: who was asked, how it ended and what it used; never a word of it."""

import structlog

from apps.routing.contracts import AttemptEnd

log = structlog.get_logger(__name__)


def log_attempt(end: AttemptEnd) -> None:
    """One line. For gates, which hear of each end once."""
    candidate, usage = end.candidate, end.usage
    log.info(
        "attempt.ended",
        attempt_id=str(end.attempt_id),
        number=end.number,
        provider=candidate.provider,
        model=candidate.model,
        upstream_model=candidate.upstream_model,
        state=end.state.value,
        error_code=end.error_code,
        first_token_ms=milliseconds(end.first_token_seconds),
        duration_ms=milliseconds(end.duration_seconds),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        estimated=usage.estimated,
        skipped_events=end.skipped_events,
    )


def milliseconds(seconds: float | None) -> int | None:
    """Rounded; None stays None."""
    return None if seconds is None else round(seconds * 1000)
