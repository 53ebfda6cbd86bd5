"""Forms of a text that rules read, with the way back to the text itself.

Each code point is folded by itself, so that a text in pieces folds like the whole.
"""

import re
import unicodedata
from array import array
from collections.abc import Callable

from apps.safety.contracts import View

# Small capitals, and the letters that they are.
_SMALL, _LARGE = "ᴀʙᴄᴅᴇғɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"
# Letters of other scripts, and marks, that are drawn like those of ASCII; and what joins words
# without being a space.
_LOOK_ALIKES = str.maketrans(
    "АВЕЅІЈКМНОРСТУХ" + "аеѕіјорсухԁһԛԝгпктмв" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧΣ" + "αικνορτυχς" + "ıɡɩɑօսհո" + _SMALL + "’‘ʼ∕⁄_",
    "ABESIJKMHOPCTYX" + "aesijopcyxdhqwrnktmb" + "ABEZHIKMNOPTYXS" + "aiknoptuxs" + "igiaouhn" + _LARGE + "'''// ",
)
# Letters and a sign that are drawn as nothing: fillers of Hangul, and the empty cell of Braille.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
# White letters in black circles and squares, which have no compatibility form.
_ENCLOSED = ((0x1F150, 0x1F169), (0x1F170, 0x1F189))
# Ligatures of whole sentences stay what they are, or a text of them would be read as one many times as long.
_LONGEST_FORM = 4
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
    for first, last in _ENCLOSED:
        if first <= ord(char) <= last:
            return chr(ord("A") + ord(char) - first)
    parts = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", char))
    if len(parts) > _LONGEST_FORM:
        return char
    return "".join(_plain(part) for part in parts)


def _plain(char: str) -> str:
    """One character without its ornaments: nothing, a plain hyphen, a plain digit, or itself."""
    category = unicodedata.category(char)
    if char in _BLANK or (category in _INVISIBLE and char not in _KEPT_CONTROLS):
        return ""
    if category == "Pd" or char == "\u2212":
        return "-"
    return str(unicodedata.decimal(char)) if category == "Nd" else char


_folded = _Folded()


def _phrase(text: str) -> str:
    return (text.replace("_", " ") if text.isascii() else text.translate(_LOOK_ALIKES)).lower()


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
