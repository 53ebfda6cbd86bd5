"""How often in a row proofs of one subject failed, and how long its next try waits. In the database, for all processes.

A try is counted before it is made, in one statement, so that many at once are no more than their number; who succeeds
is forgotten. A subject is a keyed digest: an address that nobody has counts like any other.
"""

from dataclasses import dataclass

from django.conf import settings
from django.db import connections

from apps.vault import keyed_digest

FREE = 5  # tries without a wait
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 5, 300
KEPT_SECONDS = 86_400
_WAIT = f"""
make_interval(secs => CASE WHEN tries.failures < {FREE} THEN 0
ELSE least({MAX_WAIT_SECONDS}, {FIRST_WAIT_SECONDS} * power(2, least(tries.failures, 30) - {FREE})) END)
"""
_OLD = f"tries.last_at < clock_timestamp() - interval '{KEPT_SECONDS} seconds'"
# Constants of this module alone; what comes from outside is a parameter.
_TAKE = f"""
INSERT INTO accounts_failedtries AS tries (subject, failures, last_at) VALUES (%s, 1, clock_timestamp())
ON CONFLICT (subject) DO UPDATE
SET failures = CASE WHEN {_OLD} THEN 1 ELSE tries.failures + 1 END, last_at = clock_timestamp()
WHERE tries.last_at + {_WAIT} <= clock_timestamp()
"""  # noqa: S608
_STATE = f"""
SELECT tries.failures, ceil(extract(epoch FROM tries.last_at + {_WAIT} - clock_timestamp()))::int
FROM accounts_failedtries tries WHERE tries.subject = %s AND NOT {_OLD}
"""  # noqa: S608
_CLEAR = "DELETE FROM accounts_failedtries WHERE subject = %s"
_FORGET = f"DELETE FROM accounts_failedtries tries WHERE {_OLD}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class State:
    failures: int
    wait_seconds: int


def subject(kind: str, name: str) -> bytes:
    """What is kept of whom a try is about: 32 bytes. `kind` parts what is counted by itself."""
    return keyed_digest(settings.ENV.api_key_pepper.get_secret_value(), f"tries:{kind}:{name}")


def state(of: bytes) -> State:
    with connections["default"].cursor() as cursor:
        cursor.execute(_STATE, [of])
        row = cursor.fetchone()
    return State(row[0], max(0, row[1])) if row else State(0, 0)


def take(of: bytes) -> bool:
    """Count one try; False, and nothing is counted, while it has to wait."""
    with connections["default"].cursor() as cursor:
        cursor.execute(_TAKE, [of])
        return bool(cursor.rowcount == 1)


def clear(of: bytes) -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(_CLEAR, [of])


def forget_old() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute(_FORGET)
