"""Which passwords are refused: those that are guessed first. Length counts, and not which characters they hold."""

import re
from typing import Any

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError

PASSWORD_MIN = 12  # characters

# Words of this product and of signing in. docs/safeguards.md lists them; a test holds the two together.
CONTEXT_WORDS = frozenset(
    (
        *("switchboard", "password", "passwort", "passphrase", "login", "signin", "signup", "account", "workspace"),
        *("tenant", "owner", "admin", "administrator", "operator", "manager", "member", "chat", "model", "openai"),
        *("ollama", "secret", "welcome", "changeme", "letmein"),
    )
)
# What is typed by running a finger along the keyboard, the alphabet or the digits, in either direction.
_RUNS = (
    "abcdefghijklmnopqrstuvwxyz" * 2,
    "01234567890" * 3,
    "qwertyuiopasdfghjklzxcvbnm" * 2,
    "1qaz2wsx3edc4rfv5tgb6yhn",
)
_RUN_MIN = 4
_FRESH_MIN = 6  # characters that are no word, run or repetition; fewer are tried in an afternoon


class GuessedFirstValidator:
    """Refuses what consists of little beside common passwords, this product's words, runs of keys and repetition."""

    def __init__(self) -> None:
        self._common = frozenset(CommonPasswordValidator().passwords)

    def validate(self, password: str, user: Any = None) -> None:
        """Raises `ValidationError`."""
        fresh = _without_runs(_once(_without_words(password.casefold())))
        if len(fresh) < _FRESH_MIN or self._is_common(password.casefold()):
            raise ValidationError(
                "This password is among the first that are guessed. A few words that have nothing to do with each "
                "other make a good one.",
                code="password_guessed_first",
            )

    def get_help_text(self) -> str:
        return "It is no common password, and more than a word of this product with a few digits."

    def _is_common(self, password: str) -> bool:
        """Whether it is a common password, with digits and signs around it or without."""
        bare = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", password)
        return password in self._common or (bare in self._common and len(password) - len(bare) < _FRESH_MIN)


def _without_words(text: str) -> str:
    for word in sorted(CONTEXT_WORDS, key=len, reverse=True):
        text = text.replace(word, "")
    return text


def _once(text: str) -> str:
    """A repeated text, once: `abcabcabc` is `abc`."""
    repeated = re.fullmatch(r"(.{1,32}?)\1+", text, flags=re.DOTALL)
    return repeated[1] if repeated else text


def _without_runs(text: str) -> str:
    kept, place = "", 0
    while place < len(text):
        length = _run_at(text, place)
        kept += text[place] if length < _RUN_MIN else ""
        place += 1 if length < _RUN_MIN else length
    return kept


def _run_at(text: str, place: int) -> int:
    """How many characters from here on are neighbours on one of the runs."""
    found = 1
    for run in _RUNS:
        for way in (run, run[::-1]):
            length = found
            while place + length < len(text) and text[place : place + length + 1] in way:
                length += 1
            found = max(found, length)
    return found
