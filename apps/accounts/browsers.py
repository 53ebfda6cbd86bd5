"""Where somebody is signed in: the list of their browsers, when each was last at work, and ending one."""

import re
import time
from collections.abc import Sequence
from importlib import import_module
from uuid import UUID

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.db.models.functions import Now
from django.dispatch import Signal

NOTE_EVERY_SECONDS = 300.0
MAX_NOTED = 20_000  # sessions remembered in a process; all are forgotten together beyond that

# Somebody ended sessions from the list of theirs. Arguments: user, sessions (how many).
ended_from_list = Signal()

# What a browser calls itself names its forebears too, so the first that fits is the one.
_BROWSERS = (
    ("Edge", r"Edg(e|A|iOS)?/"),
    ("Opera", r"OPR/|Opera"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Firefox", r"Firefox/|FxiOS/"),
    ("Chrome", r"Chrome/|CriOS/|Chromium/"),
    ("Safari", r"Safari/"),
    ("curl", r"^curl/"),
)
_SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("Windows", r"Windows"),
    ("ChromeOS", r"CrOS"),
    ("macOS", r"Mac OS X|Macintosh"),
    ("Linux", r"Linux|X11"),
)

_noted: dict[str, float] = {}


def device_of(user_agent: str) -> str:
    """What a `User-Agent` header says, for people: "Firefox on Windows"; "An unknown browser" where it says nothing."""
    browser = next((name for name, pattern in _BROWSERS if re.search(pattern, user_agent)), "")
    system = next((name for name, pattern in _SYSTEMS if re.search(pattern, user_agent)), "")
    return " on ".join(filter(None, (browser, system))) or "An unknown browser"


def note_use(session_key: str | None, address: str | None) -> None:
    """Write down that a session is in use, and from where: at most once in five minutes for each process."""
    now = time.monotonic()
    if session_key is None or now - _noted.get(session_key, -NOTE_EVERY_SECONDS) < NOTE_EVERY_SECONDS:
        return
    if len(_noted) >= MAX_NOTED:
        _noted.clear()
    _noted[session_key] = now
    seen = {"last_seen_at": Now(), **({"ip": address} if address else {})}
    UserSession.objects.filter(session_key=session_key).update(**seen)


def sessions_of(user_id: UUID, current_key: str | None) -> Sequence[UserSession]:
    """The sessions that are still open, this one first and then those last in use; each with its `device`."""
    found = [one for one in UserSession.objects.filter(user_id=user_id) if not one.purge()]
    for one in found:
        one.device, one.is_this = device_of(one.user_agent), one.session_key == current_key
    return sorted(found, key=lambda one: (not one.is_this, -one.last_seen_at.timestamp()))


def end(user_id: UUID, ids: Sequence[int] | None, *, but: str | None = None) -> int:
    """End the sessions with these ids that are the person's; without ids all of them. `but` stays. Returns how many."""
    theirs = UserSession.objects.filter(user_id=user_id).exclude(session_key=but or "")
    chosen = theirs if ids is None else theirs.filter(pk__in=ids)
    store = import_module(settings.SESSION_ENGINE).SessionStore
    ended = 0
    for one in chosen:
        store(one.session_key).delete()
        ended += one.delete()[0]
    return ended
