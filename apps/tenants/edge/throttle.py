"""Slowing down guesses: how often one address, and one person, may try to sign in or sign up."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from apps.tenants.edge.problems import translate
from apps.tenants.errors import TooManyTries

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Throttle:
    """Tries per period ("30/m"), by network address and by e-mail address ("" for any number).

    Every call of `count` is one try.
    """

    group: str
    per_address: str
    per_email: str

    def count(self, request: HttpRequest, email: str) -> None:
        """Raises `TooManyTries`. A cache that does not answer stops nobody: passwords are still checked."""
        keys: list[tuple[str, str | Callable[[str, HttpRequest], str]]] = []
        if email and self.per_email:
            keys.append((self.per_email, lambda group, request: email.strip().lower()[:254]))
        if request.META.get("REMOTE_ADDR"):
            keys.append((self.per_address, "ip"))
        for rate, key in keys:
            try:
                usage = get_usage(
                    request, group=f"{self.group}:{rate}", key=key, rate=rate, method="POST", increment=True
                )
            except Exception as error:
                if translate(error) is None:
                    raise
                return
            if usage is not None and usage["should_limit"]:
                log.warning("throttle.refused", group=self.group)
                wait_seconds = max(1, usage["time_left"])
                raise TooManyTries(
                    f"Too many tries. Wait {wait_seconds} seconds, then try again.",
                    retry_after_seconds=wait_seconds,
                )


# Guesses at one account are for `sign_in_guard`: a count by address alone would let strangers lock people out.
SIGN_IN = Throttle("sign-in", per_address="30/m", per_email="")
SIGN_UP = Throttle("sign-up", per_address="60/h", per_email="10/h")
