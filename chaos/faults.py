"""Every fault of a provider and the declared policy for it: what drill 11 checks and docs/faults.md says."""

from dataclasses import dataclass

FIRST_TOKEN_SECONDS = 2
GAP_SECONDS = 2
_ANSWER = "tokens=60+tps=60+chunk=2+ttft=100"


@dataclass(frozen=True, slots=True)
class Fault:
    """`option` is the simulator's word for it. `code` is what the attempt ends as; None: the fault is survived.

    `shown`: text had been shown by then. `attempts`, `state`, `error` and `sentence` are what comes of an answer that
    has no other deployment to go to.
    """

    key: str
    option: str
    what: str
    code: str | None
    shown: bool = False
    attempts: int = 1
    state: str = "completed"
    error: str | None = None
    sentence: str = ""
    note: str = ""

    @property
    def slugs(self) -> dict[str, tuple[str, ...]]:
        """The two models that show it: one with a sound deployment behind the faulty one, one with nothing else."""
        faulty = f"bench-{self.key}+{_ANSWER}+fault={self.option}"
        sound = f"bench-{self.key}-b+{_ANSWER}"
        return {f"hurt-{self.key}": (faulty, sound), f"alone-{self.key}": (faulty,)}


_ALL = "All 4 attempts to get an answer failed. "
_ONE = "The one attempt to get an answer failed. "

FAULTS = (
    Fault(
        "reset", "reset", "The connection is reset before any header", "stream_cut",
        attempts=4, state="failed", error="all_attempts_failed",
        sentence=f"{_ALL}Simulator ended the connection without an answer. Try again.",
    ),
    Fault(
        "mute", "die@0", "It dies before the first token", "stream_cut",
        attempts=4, state="failed", error="all_attempts_failed",
        sentence=f"{_ALL}Simulator ended the connection without an answer. Try again.",
    ),
    *(
        Fault(
            f"die-{place}", f"die@{place}", f"It dies after {words}", "stream_cut", shown=True,
            attempts=4, state="partial", error="all_attempts_failed",
            sentence=f"{_ALL}Simulator ended the connection before the answer was complete. Try again.",
        )
        for place, words in (("1", "the first token"), ("50", "50 tokens"), ("last", "the last token"))
    ),
    Fault(
        "endless", "no_finish", "The stream ends without a finish reason", "stream_cut", shown=True,
        attempts=4, state="partial", error="all_attempts_failed",
        sentence=f"{_ALL}Simulator ended the connection before the answer was complete. Try again.",
    ),
    Fault(
        "silence", "silence@20", f"It falls silent in the middle (allowed: {GAP_SECONDS} s in the drill)",
        "gap_timeout", shown=True, attempts=4, state="partial", error="all_attempts_failed",
        sentence=f"{_ALL}Simulator fell silent in its answer for {GAP_SECONDS} s. Try again.",
    ),
    Fault(
        "slow", "slow@30", f"The first token is late (allowed: {FIRST_TOKEN_SECONDS} s in the drill)",
        "first_token_timeout", state="failed", error="all_attempts_failed",
        sentence=f"{_ONE}Simulator did not begin to answer within {FIRST_TOKEN_SECONDS} s. Try again.",
        note="A silent route is not tried again",
    ),
    Fault(
        "drip", "drip@1", "One byte a second", "first_token_timeout", state="failed", error="all_attempts_failed",
        sentence=f"{_ONE}Simulator did not begin to answer within {FIRST_TOKEN_SECONDS} s. Try again.",
        note="Bytes are not content: no token had come in time",
    ),
    Fault(
        "comments", "keepalive@0.2", "Keepalive comments and no content", "first_token_timeout", state="failed",
        error="all_attempts_failed",
        sentence=f"{_ONE}Simulator did not begin to answer within {FIRST_TOKEN_SECONDS} s. Try again.",
        note="Keepalives are not content",
    ),
    Fault(
        "limited", "429+retry_after=1", "429 to every call, with `Retry-After: 1`", "provider_rate_limited",
        attempts=4, state="failed", error="all_attempts_failed",
        sentence=f"{_ALL}Simulator is limiting our requests. Try again later.",
        note="`Retry-After` is waited for, up to 10 s and the deadline; a limit opens no breaker",
    ),
    Fault(
        "busy", "503", "503 to every call", "provider_overloaded",
        attempts=4, state="failed", error="all_attempts_failed",
        sentence=f"{_ALL}Simulator had an error of its own (status 503). Try again in a minute.",
    ),
    Fault("garbled", "malformed@20", "One event is cut in the middle of its JSON", None, note="The event is skipped"),
    Fault("unbilled", "no_usage", "No usage, although asked for", None, note="The cost is a flagged estimate"),
    Fault("unmarked", "no_done", "A finish reason, and no final marker", None, note="The answer ends at once"),
)  # fmt: skip


def paper(faults: tuple[Fault, ...] = FAULTS) -> str:
    """docs/faults.md."""
    rows = "\n".join(_row(fault) for fault in faults)
    return f"""# What a provider's fault looks like

Written by drill 11 (`FAULTS_PAPER=docs/faults.md DRILL=11 make chaos`), which plays each fault to people and programs,
compares what they get with this policy, and fails where it differs. The drill keeps breakers closed, so that every
fault is met and not avoided: see [operations](operations.md#providers-that-fail) for what happens when a deployment
fails again and again.

Where the model has another deployment, the answer is complete in every case: the second attempt serves it, and whoever
had seen text sees it begin again (`message.restarted`). An answer that was cut is never told as complete, and none
outlasts its deadlines.

A program that waits for JSON gets status 200 with `state` and `error` of each answer; one that streams gets the same
events as a page. “Alone” is a model without another deployment.

| Fault | It ends as | With another deployment | Alone: attempts | Alone: a person sees | Alone: a program gets | |
|---|---|---|---|---|---|---|
{rows}
"""


def _row(fault: Fault) -> str:
    if fault.code is None:
        whole = "a complete answer"
        return f"| {fault.what} | won | {whole} | 1 | {whole} | `completed` | {fault.note} |"
    rescued = "text, then a complete answer from the start" if fault.shown else "a complete answer"
    kept = "what had come, marked as interrupted" if fault.state == "partial" else "no text"
    return (
        f"| {fault.what} | `{fault.code}` | {rescued} | {fault.attempts} | {kept}: “{fault.sentence}” "
        f"| `{fault.state}`, `{fault.error}`, retryable | {fault.note} |"
    )
