"""How often allauth's pages may be used: codes of a second factor, mails, giving the password again.

allauth counts in the cache, and a cache that is lost has counted nothing. Here the counts are rows, for all processes;
one statement looks and counts, so that many at once are no more than their number.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.core.internal import ratelimit
from allauth.core.internal.ratelimit import Rate
from allauth.core.ratelimit import clear, consume
from django.db import connections
from django.http import HttpRequest

from apps.accounts.errors import TooManyTries

_RECENT = "unnest(kept.uses) one WHERE one > clock_timestamp() - make_interval(secs => %(seconds)s)"
_USE = f"""
INSERT INTO accounts_rateuse AS kept (subject, uses, ends_at)
VALUES (%(subject)s, ARRAY[clock_timestamp()], clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (subject) DO UPDATE
SET uses = ARRAY(SELECT one FROM {_RECENT}) || clock_timestamp(), ends_at = excluded.ends_at
WHERE (SELECT count(*) FROM {_RECENT}) < %(amount)s
RETURNING uses[cardinality(uses)]
"""  # noqa: S608 - a constant of this module
_COUNT = f"SELECT (SELECT count(*) FROM {_RECENT}) FROM accounts_rateuse kept WHERE subject = %(subject)s"  # noqa: S608
_TAKE_BACK = "UPDATE accounts_rateuse SET uses = array_remove(uses, %s) WHERE subject = %s"
_CLEAR = "DELETE FROM accounts_rateuse WHERE subject = %s"
_FORGET = "DELETE FROM accounts_rateuse WHERE ends_at < clock_timestamp()"


@dataclass(frozen=True, slots=True)
class Use:
    """One use that was counted, as allauth takes it back."""

    subject: bytes
    at: datetime | None

    def rollback(self) -> None:
        if self.at is not None:
            _run(_TAKE_BACK, [self.at, self.subject])


def use_own_rules() -> None:
    """Put these counts in the place of allauth's. Called once, when the apps are ready."""
    ratelimit._consume_single_rate = _consume
    ratelimit.clear = _clear


def take_code(request: HttpRequest, user_id: Any) -> None:
    """Count one code of a person's second factor, together with those that pages take. Raises `TooManyTries`."""
    if not consume(request, action="login_failed", key=_codes_of(user_id)):
        wait_seconds = 300
        raise TooManyTries("Too many wrong codes. Wait five minutes, then try again.", retry_after_seconds=wait_seconds)


def code_was_right(request: HttpRequest, user_id: Any) -> None:
    clear(request, action="login_failed", key=_codes_of(user_id))


def forget_old() -> None:
    _run(_FORGET, [])


def _codes_of(user_id: Any) -> str:
    """allauth's own name for them."""
    return f"mfa-auth-user-{user_id}"


def _consume(
    request: HttpRequest,
    *,
    app: str,
    action: str,
    rate: Rate,
    key: str | None = None,
    user: Any = None,
    dry_run: bool = False,
    raise_exception: bool = False,
) -> Use | None:
    subject = _subject(request, app=app, action=action, rate=rate, key=key, user=user)
    given = {"subject": subject, "seconds": rate.duration, "amount": rate.amount}
    with connections["default"].cursor() as cursor:
        cursor.execute(_COUNT if dry_run else _USE, given)
        row = cursor.fetchone()
    if dry_run:
        allowed = Use(subject, None) if row is None or row[0] < rate.amount else None
    else:
        allowed = Use(subject, row[0]) if row else None
    if allowed is None and raise_exception:
        raise ratelimit.RateLimited
    return allowed


def _clear(
    request: HttpRequest,
    *,
    app: str,
    action: str,
    config: dict[str, str] | None = None,
    key: str | None = None,
    user: Any = None,
) -> None:
    for rate in ratelimit.get_rates(app=app, action=action, config=config):
        _run(_CLEAR, [_subject(request, app=app, action=action, rate=rate, key=key, user=user)])


def _subject(request: HttpRequest, **about: Any) -> bytes:
    """Whom a count is about: 32 bytes, in which no address can be read."""
    return hashlib.sha256(ratelimit.get_cache_key(request, **about).encode()).digest()


def _run(statement: str, values: list[Any]) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(statement, values)
