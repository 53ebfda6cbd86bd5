"""Proof that a sign-in after many failures is worth somebody's while: a CAPTCHA of a provider, or work of the machine.

Turnstile, hCaptcha and what speaks like them check an answer at an address of theirs (`CAPTCHA_VERIFY_URL`). Where
none is set up the browser searches for a number whose hash begins with zeros, which costs it seconds.
"""

import hashlib
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import requests
import structlog
from django.conf import settings
from django.core import signing
from django.db import connections
from uuid6 import uuid7

from apps.outbound import Policy, requests_session

MAX_ANSWER = 4096  # characters
BITS = 17  # leading zeros of the hash: about 131,000 tries
LIFE_SECONDS = 600
_SPEND = """
INSERT INTO accounts_spentproof (digest, expires_at) VALUES (%s, to_timestamp(%s)) ON CONFLICT DO NOTHING
"""
_FORGET = "DELETE FROM accounts_spentproof WHERE expires_at < clock_timestamp()"

log = structlog.get_logger(__name__)


class Captcha(Protocol):
    """What a page shows, and how an answer is judged."""

    @property
    def kind(self) -> str:
        """`work`, or `site` for a provider's own script."""

    def challenge(self, subject: str) -> str:
        """What is to be solved for a subject: the puzzle, or the provider's site key."""

    def is_solved(self, subject: str, answer: str, address: str) -> bool:
        """Whether an answer is right and was not used before."""


class ProofOfWork:
    """A puzzle for one subject, good once and for ten minutes. Nothing of it is kept until it is solved."""

    kind = "work"

    def challenge(self, subject: str) -> str:
        return _signer().sign(f"{BITS}.{int(time.time()) + LIFE_SECONDS}.{uuid7().hex}.{subject}")

    def is_solved(self, subject: str, answer: str, address: str = "") -> bool:
        puzzle, separator, _number = answer.rpartition("|")
        try:
            bits, expires, _random, about = _signer().unsign(puzzle).split(".")
        except (signing.BadSignature, ValueError):
            return False
        if not separator or about != subject or int(expires) < time.time():
            return False
        if int.from_bytes(hashlib.sha256(answer.encode()).digest(), "big") >> (256 - int(bits)):
            return False
        with connections["default"].cursor() as cursor:
            cursor.execute(_SPEND, [hashlib.sha256(puzzle.encode()).digest(), int(expires)])
            return bool(cursor.rowcount == 1)


@dataclass(frozen=True, slots=True)
class SiteVerify:
    """A provider that is asked with our secret whether an answer is right. It takes each answer once."""

    verify_url: str
    site_key: str
    secret: str
    policy: Policy
    kind: str = "site"

    def challenge(self, subject: str) -> str:
        return self.site_key

    def is_solved(self, subject: str, answer: str, address: str) -> bool:
        """A provider that does not answer has proved nothing."""
        if not answer:
            return False
        form = {"secret": self.secret, "response": answer, "remoteip": address, "sitekey": self.site_key}
        try:
            with requests_session(self.policy, total_seconds=5.0, answer_max_bytes=65_536) as session:
                told = session.post(self.verify_url, data=form, allow_redirects=False).json()
        except (requests.RequestException, ValueError) as error:
            log.warning("captcha.unanswered", error=type(error).__name__)
            return False
        return isinstance(told, dict) and told.get("success") is True


@lru_cache(maxsize=1)
def captcha() -> Captcha:
    """The one that is set up."""
    if not settings.CAPTCHA_VERIFY_URL:
        return ProofOfWork()
    secret = settings.ENV.captcha_secret.get_secret_value() if settings.ENV.captcha_secret else ""
    policy = Policy.parse(settings.ENV.outbound_allow)
    return SiteVerify(settings.CAPTCHA_VERIFY_URL, settings.ENV.captcha_site_key, secret, policy)


def forget_spent() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(_FORGET)


def _signer() -> signing.Signer:
    return signing.Signer(salt="switchboard.captcha")
