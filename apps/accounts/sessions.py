"""Sessions in the database that end: so long after they were last used, and so long after somebody signed in.

The row's own date of expiry is the earlier of the two, so whoever reads sessions (a request, a socket's handshake, the
watch over what is open) sees the same end. Use is noted seldom: a session is written for it about once an hour.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

_BEGAN, _USED = "began_at", "used_at"  # seconds since 1970
_NOTES_PER_IDLE_TIME = 60


class SessionStore(DatabaseStore):
    """Django's sessions in the database, with an idle timeout and a longest life that no request can stretch."""

    def load(self) -> dict[str, Any]:
        data: dict[str, Any] = super().load()
        if data and time.time() - data.get(_USED, 0) > settings.SESSION_IDLE_SECONDS / _NOTES_PER_IDLE_TIME:
            self.modified = True  # so that the answer to this request saves it
        return data

    def cycle_key(self) -> None:
        """A new key for somebody who has just proved who they are; their session begins now."""
        super().cycle_key()
        self[_BEGAN] = int(time.time())

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        now = int(time.time())
        data.setdefault(_BEGAN, now)
        data[_USED] = now
        instance = super().create_model_instance(data)
        instance.expire_date = datetime.now(UTC) + timedelta(seconds=_remaining(data))
        return instance

    def get_expiry_age(self, **_: Any) -> int:
        """How long the cookie is kept. What a caller wishes with `set_expiry` does not count."""
        return _remaining(dict(self.items()))


def _remaining(data: Mapping[str, Any]) -> int:
    ends = data.get(_BEGAN, time.time()) + settings.SESSION_MAX_SECONDS
    return max(0, int(min(settings.SESSION_IDLE_SECONDS, ends - time.time())))
