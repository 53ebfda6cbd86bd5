"""Forms of a text that rules read, with the way back to the text itself.

Each code point is folded by itself, so that a text in pieces folds like the whole.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable

from apps.safety.contracts import View

# Letters of other scripts, and marks, that are drawn like those of ASCII.
_LOOK_ALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХ" + "аеѕіјорсухԁһԛԝгпктмв" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧΣ" + "αικνορτυχς" + "ıɡɩɑ" + "’‘ʼ∕⁄",
    "ABESIJKMHOPCTYX" + "aesijopcyxdhqwrnktmb" + "ABEZHIKMNOPTYXS" + "aiknoptuxs" + "igia" + "'''//",
)
_INVISIBLE = frozenset({"Cf", "Cc", "Mn", "Me", "Cs", "Co"})
_KEPT_CONTROLS = "\t\n\r"
_REGULAR = re.compile(r"[\t\n\r -~]*+\Z")


class _Folded(dict[int, str]):
    """Code point -> its folded form, computed once each."""

    def __missing__(self, code: int) -> str:
        folded = _fold(chr(code))
        if len(self) < 70_000:
            self[code] = folded
        return folded


def _fold(char: str) -> str:
    if char in _KEPT_CONTROLS:
        return char
    parts = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", char))
    return "".join(part for part in parts if unicodedata.category(part) not in _INVISIBLE or part in _KEPT_CONTROLS)


_folded = _Folded()


def _phrase(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_LOOK_ALIKES).lower()


def _same(text: str) -> str:
    return text


_FINISH: dict[View, Callable[[str], str]] = {View.RAW: _same, View.PLAIN: _same, View.PHRASE: _phrase}


class Strand:
    """One view of a text that arrives in pieces, and where each of its characters came from.

    Indexes are counted from `text[0]`; `trim` forgets characters and says how many.
    """

    __slots__ = ("_finish", "_positions", "_raw", "_view", "text")

    def __init__(self, view: View) -> None:
        self.text = ""
        self._view = view
        self._finish = _FINISH[view]
        self._raw = 0  # where text[0] came from, while every character stands for one
        self._positions: array[int] | None = None

    def append(self, piece: str, at: int) -> None:
        """Add what comes next; `at` is its place in the whole text."""
        if not self.text:
            self._positions, self._raw = None, at
        if self._view is View.RAW or _REGULAR.match(piece):
            self._add(self._finish(piece), range(at, at + len(piece)))
            return
        if all(len(_folded[ord(char)]) == 1 for char in set(piece)):
            self._add(self._finish(piece.translate(_folded)), range(at, at + len(piece)))
            return
        text: list[str] = []
        places = array("Q")
        for place, char in enumerate(piece, at):
            folded = _folded[ord(char)]
            text.append(folded)
            places.extend([place] * len(folded))
        self._add(self._finish("".join(text)), places)

    def _add(self, text: str, places: "range | array[int]") -> None:
        if self._positions is None:
            if isinstance(places, range) and places.start == self._raw + len(self.text):
                self.text += text
                return
            self._positions = array("Q", range(self._raw, self._raw + len(self.text)))
        self._positions.extend(places)
        self.text += text

    def begin_of(self, index: int, end: int) -> int:
        """Where the character at `index` stands in the whole text; `end` where it has not come yet."""
        if index >= len(self.text):
            return end
        return self._raw + index if self._positions is None else self._positions[index]

    def end_of(self, index: int) -> int:
        """Where the passage before `index` ends in the whole text."""
        return self._raw + index if self._positions is None else self._positions[index - 1] + 1

    def trim(self, count: int) -> None:
        """Forget the first `count` characters."""
        self.text = self.text[count:]
        self._raw += count
        if self._positions is not None:
            del self._positions[:count]
