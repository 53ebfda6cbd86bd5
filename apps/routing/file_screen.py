"""Files that a prompt carries: what is text in them is read by rules as it is by models."""

import base64
import binascii
import codecs
from collections.abc import Mapping
from typing import Any

from apps.routing.json_screen import Screen

_CODECS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PDF = b"%PDF"


def screened_file(file: Mapping[str, Any], screen: Screen) -> Mapping[str, Any]:
    """The file with what `screen` makes of its name and, where it is one of text, of its content."""
    screened = dict(file)
    if isinstance(file.get("filename"), str):
        screened["filename"] = screen(file["filename"])
    data = file.get("file_data")
    if isinstance(data, str) and (found := _text_of(data)) is not None:
        text, codec = found
        if (kept := screen(text)) != text:
            head = data.partition(",")[0]
            screened["file_data"] = f"{head},{base64.b64encode(kept.encode(codec)).decode()}"
    return screened


def _text_of(data: str) -> tuple[str, str] | None:
    """The text in a data URL and how it is encoded; None for a picture, a document or anything else."""
    try:
        content = base64.b64decode(data.partition(",")[2])
    except (binascii.Error, ValueError):
        return None
    if content.startswith(_PDF):
        return None
    codec = next((name for mark, name in _CODECS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(codec), codec
    except UnicodeDecodeError:
        return None
