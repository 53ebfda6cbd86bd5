"""What an authenticator app shows."""

import time

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value

PERIOD_SECONDS = 30


def code_of(secret: str, *, periods: int = 0) -> str:
    """What the authenticator app shows, now or some periods away from now."""
    return format_hotp_value(hotp_value(secret, int(time.time()) // PERIOD_SECONDS + periods))


def wait_for_a_young_step(seconds_left: float = 4.0) -> None:
    """Let the step end if it is about to: what a test calls the step of now must stay it for a moment."""
    left = PERIOD_SECONDS - time.time() % PERIOD_SECONDS
    if left < seconds_left:
        time.sleep(left)
