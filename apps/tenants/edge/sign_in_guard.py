"""Guesses at one account: they wait longer and longer, and then have to prove that they are worth somebody's while.

It is counted by the address typed, whether anybody has it or not, so that answers tell nothing. Strangers lock nobody
out: a device on which the person has signed in before has tries of its own, a code of their second factor opens the way
while strangers guess passwords alone, and passkeys and reset mails work on.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from allauth.account.signals import password_reset
from allauth.mfa.models import Authenticator
from django.db import connections
from django.dispatch import receiver
from django.http import HttpRequest

from apps.accounts import captcha, failed_tries, known_devices, second_factor, selectors
from apps.accounts.errors import StepUpRequired
from apps.accounts.models import User
from apps.tenants import sign_in_log
from apps.tenants.errors import TooManyTries

STEP_UP = 10  # failures in a row after which a proof is asked for
DEVICE_TRIES = 10  # failures after which a known device counts as a stranger's
EVEN_SECONDS = 0.1  # what looking at a code takes at least, where it is refused
THROTTLED, PASSED = "sign_in.throttled", "sign_in.step_up_passed"

# Whether an address has an account must not show in the time that a refusal takes: it is told afterwards.
_afterwards = ThreadPoolExecutor(1, "sign-in-log")


@dataclass(frozen=True, slots=True)
class Try:
    """One try that may be made. It counts as failed until `succeeded` is called.

    `factor` is the second factor whose code opened the way; that code is used up, and none need be asked for again.
    """

    subjects: tuple[bytes, ...]
    factor: Authenticator | None = None

    def succeeded(self) -> None:
        for one in self.subjects:
            failed_tries.clear(one)


def begin(request: HttpRequest, email: str, answer: str = "", *, code: str = "", puzzles: bool = True) -> Try:
    """Count a try at an account. `answer` is what solves the puzzle of `puzzle`, where one was asked for.

    `code` of the person's second factor opens the way past waits and puzzles. It is looked at there alone, and before
    the password: a wrong one is answered like none, so that nobody learns anything who does not have the factor.
    A page that can show no puzzle says so (`puzzles`): there, tries wait and no more.

    Raises `TooManyTries` while it has to wait, `StepUpRequired` where it has to prove itself first.
    """
    name = email.strip().lower()[:254]
    user_id = selectors.id_by_email(name)
    own = _on_own_device(request, user_id)
    if own is not None and failed_tries.take(own):
        return Try((own,))
    subject = failed_tries.subject("password", name)
    refusal = _take(request, subject, name, user_id, answer, puzzles)
    if refusal is None:
        return Try((subject,))
    codes = failed_tries.subject("code", name)
    if code and failed_tries.take(codes) and (factor := _factor(user_id, code)):
        _tell(user_id, PASSED, "second_factor")
        return Try((subject, codes), factor)
    _tell(user_id, THROTTLED, "waiting" if isinstance(refusal, TooManyTries) else "step_up")
    raise refusal


def _take(
    request: HttpRequest, subject: bytes, name: str, user_id: UUID | None, answer: str, puzzles: bool
) -> TooManyTries | StepUpRequired | None:
    """Count a stranger's try, or what keeps it from being made."""
    state = failed_tries.state(subject)
    if state.wait_seconds:
        return _waits(state.wait_seconds)
    if puzzles and state.failures >= STEP_UP:
        if not _is_solved(request, name, answer):
            return StepUpRequired(
                "Too many sign-ins have failed. Solve what this page asks, then try again.",
                fields={"proof": [puzzle(name)]},
            )
        _tell(user_id, PASSED, captcha.captcha().kind)
    if not failed_tries.take(subject):  # somebody else was quicker
        return _waits(max(1, failed_tries.state(subject).wait_seconds))
    return None


def _factor(user_id: UUID | None, code: str) -> Authenticator | None:
    """What the code belongs to. A refusal takes as long for nobody as for somebody with a second factor."""
    began = time.monotonic()
    found = second_factor.use_code(user_id, code) if user_id else None
    if found is None:
        time.sleep(max(0.0, EVEN_SECONDS - (time.monotonic() - began)))
    return found


def puzzle_due(request: HttpRequest, email: str) -> str | None:
    """The puzzle that a try made now would be asked for. None where it need not solve one, or has to wait first."""
    name = email.strip().lower()[:254]
    if captcha.captcha().kind != "work" or _on_own_device(request, selectors.id_by_email(name)):
        return None
    state = failed_tries.state(failed_tries.subject("password", name))
    return puzzle(name) if state.failures >= STEP_UP and not state.wait_seconds else None


def _on_own_device(request: HttpRequest, user_id: UUID | None) -> bytes | None:
    """What a device's own tries are counted by, while it has any left before it counts as a stranger's."""
    device = known_devices.device_of(request, user_id) if user_id else None
    if device is None:
        return None
    own = failed_tries.subject("device", f"{device}:{user_id}")
    return own if failed_tries.state(own).failures < DEVICE_TRIES else None


def puzzle(email: str) -> str:
    """What has to be solved for an address: a puzzle, or the CAPTCHA's site key."""
    return captcha.captcha().challenge(_about(email.strip().lower()[:254]))


def _is_solved(request: HttpRequest, name: str, answer: str) -> bool:
    if not answer or len(answer) > captcha.MAX_ANSWER:
        return False
    return captcha.captcha().is_solved(_about(name), answer, request.META.get("REMOTE_ADDR") or "")


def _about(name: str) -> str:
    return failed_tries.subject("puzzle", name).hex()[:32]


def _waits(wait_seconds: int) -> TooManyTries:
    return TooManyTries(
        f"Too many tries. Wait {wait_seconds} seconds, then try again.", retry_after_seconds=wait_seconds
    )


def _tell(user_id: UUID | None, action: str, how: str) -> None:
    if user_id is not None:
        target = ("user", user_id)
        _later(lambda: sign_in_log.failed(target, action, how))


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
    for kind in ("password", "code"):
        failed_tries.clear(failed_tries.subject(kind, user.email.lower()))
