"""The gate of a stateless call: no row stands behind an attempt, its end is kept until the call is settled."""

from uuid import UUID

from apps.billing.contracts import LedgerLine, LineKind
from apps.routing.attempt_log import log_attempt
from apps.routing.contracts import AttemptEnd, AttemptState, Candidate, Finished
from apps.routing.ledger_lines import ledger_line
from apps.routing.stateless.ids import new_id


class CallGate:
    """Implements `contracts.Gate`. `asked` is the candidate of the newest attempt at the answer, None before any."""

    def __init__(self) -> None:
        self.ends: list[AttemptEnd] = []
        self.asked: Candidate | None = None

    async def begin(self, candidate: Candidate) -> UUID:
        if not candidate.on_the_side:
            self.asked = candidate
        return new_id()

    def ended(self, end: AttemptEnd) -> None:
        self.ends.append(end)
        # The one that gave the answer stands in the line that the door writes of each request.
        if end.state is not AttemptState.WON:
            log_attempt(end)

    @property
    def first_token_seconds(self) -> float | None:
        """Of the newest attempt at the answer that showed anything."""
        shown = (end.first_token_seconds for end in reversed(self.ends) if not end.candidate.on_the_side)
        return next((seconds for seconds in shown if seconds is not None), None)

    def lines(self, finished: Finished | None, *, hung_up: bool) -> list[LedgerLine]:
        """One ledger line per attempt.

        The tenant pays for the attempt that finished the answer, never for one that failed over. Whoever hung up pays
        for the last attempt that had shown something, or else had been sent the prompt: otherwise large prompts, and
        whole answers that are being written, would be free to whoever leaves in time. What is asked on the side is paid
        for where it was answered. An answer that broke off is nobody's to pay for.
        """
        kept: UUID | None = None
        if finished is not None:
            kept = finished.attempt_id
        elif hung_up:
            kept = self._left_behind()
        return [ledger_line(end, LineKind.CHARGE if _is_paid(end, kept) else LineKind.ABSORBED) for end in self.ends]

    def _left_behind(self) -> UUID | None:
        """The attempt that a caller who hung up pays for."""
        answers = [end for end in reversed(self.ends) if not end.candidate.on_the_side]
        shown = (end for end in answers if end.first_token_seconds is not None)
        sent = (end for end in answers if end.state is AttemptState.CANCELLED and end.usage.input_tokens)
        last = next(shown, None) or next(sent, None)
        return None if last is None else last.attempt_id


def _is_paid(end: AttemptEnd, kept: UUID | None) -> bool:
    return end.attempt_id == kept or (end.candidate.on_the_side and end.state is not AttemptState.FAILED)
