"""Texts inside JSON, such as the arguments of a tool call: escapes must not hide what a rule looks for."""

import json
import re
from collections.abc import Callable

_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)

Screen = Callable[[str], str]


def screened_json(text: str, screen: Screen) -> str:
    """The text with what `screen` makes of it: first of every string as JSON means it, then of all as it is written.

    In that order, so that nothing is cut in the middle of an escape. Works on texts that are not quite JSON, too.
    """

    def string(match: re.Match[str]) -> str:
        written = match[0]
        if "\\" not in written:
            return written
        try:
            meant = json.loads(written, strict=False)
        except ValueError:
            return written
        screened = screen(meant)
        return written if screened == meant else json.dumps(screened)

    return screen(_STRING.sub(string, text) if "\\" in text else text)
