"""Guesses at one account: they wait longer and longer, and then have to prove that they are worth somebody's while.

It is counted by the address typed, whether anybody has it or not, so that answers tell nothing. Strangers lock nobody
out: a device on which the person has signed in before has tries of its own, and passkeys and reset mails work on.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.account.signals import password_reset
from django.db import connections
from django.dispatch import receiver
from django.http import HttpRequest

from apps.accounts import captcha, failed_tries, known_devices, selectors
from apps.accounts.errors import StepUpRequired
from apps.accounts.models import User
from apps.tenants import sign_in_log
from apps.tenants.errors import TooManyTries

STEP_UP = 10  # failures in a row after which a proof is asked for
DEVICE_TRIES = 10  # failures after which a known device counts as a stranger's
THROTTLED = "sign_in.throttled"

# Whether an address has an account must not show in the time that a refusal takes: it is told afterwards.
_afterwards = ThreadPoolExecutor(1, "sign-in-log")


@dataclass(frozen=True, slots=True)
class Try:
    """One try that may be made. It counts as failed until `succeeded` is called."""

    subject: bytes

    def succeeded(self) -> None:
        failed_tries.clear(self.subject)


def begin(request: HttpRequest, email: str, answer: str = "", *, puzzles: bool = True) -> Try:
    """Count a try at an account. `answer` is what solves the puzzle of `puzzle`, where one was asked for.

    A page that can show none says so (`puzzles`): there, tries wait and no more.

    Raises `TooManyTries` while it has to wait, `StepUpRequired` where it has to prove itself first.
    """
    name = email.strip().lower()[:254]
    user_id = selectors.id_by_email(name)
    device = known_devices.device_of(request, user_id) if user_id else None
    if device:
        own = failed_tries.subject("device", f"{device}:{user_id}")
        if failed_tries.state(own).failures < DEVICE_TRIES and failed_tries.take(own):
            return Try(own)
    subject = failed_tries.subject("password", name)
    state = failed_tries.state(subject)
    if state.wait_seconds:
        raise _waits(user_id, state.wait_seconds)
    if puzzles and state.failures >= STEP_UP and not _is_solved(request, name, answer):
        _tell(user_id, "step_up")
        raise StepUpRequired(
            "Too many sign-ins have failed. Solve what this page asks, then try again.",
            fields={"proof": [puzzle(name)]},
        )
    if not failed_tries.take(subject):  # somebody else was quicker
        raise _waits(user_id, max(1, failed_tries.state(subject).wait_seconds))
    return Try(subject)


def puzzle(email: str) -> str:
    """What has to be solved for an address: a puzzle, or the CAPTCHA's site key."""
    return captcha.captcha().challenge(_about(email.strip().lower()[:254]))


def _is_solved(request: HttpRequest, name: str, answer: str) -> bool:
    if not answer or len(answer) > captcha.MAX_ANSWER:
        return False
    return captcha.captcha().is_solved(_about(name), answer, request.META.get("REMOTE_ADDR") or "")


def _about(name: str) -> str:
    return failed_tries.subject("puzzle", name).hex()[:32]


def _waits(user_id: UUID | None, wait_seconds: int) -> TooManyTries:
    _tell(user_id, "waiting")
    return TooManyTries(
        f"Too many tries. Wait {wait_seconds} seconds, then try again.", retry_after_seconds=wait_seconds
    )


def _tell(user_id: UUID | None, why: str) -> None:
    if user_id is not None:
        target = ("user", user_id)
        _later(lambda: sign_in_log.failed(target, THROTTLED, why))


def _later(work: Callable[[], None]) -> None:
    def run() -> None:
        try:
            work()
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    _afterwards.submit(copy_context().run, run)


@receiver(password_reset, dispatch_uid="sign_in_guard.reset")
def _reset(sender: Any, user: User, **_: Any) -> None:
    """Whoever reads the account's mail begins anew."""
    failed_tries.clear(failed_tries.subject("password", user.email.lower()))
