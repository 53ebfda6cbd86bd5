"""Lists of named keys, as settings hold them: `kid:base64,kid2:base64`, the one in use first."""

import base64
import re
from typing import Final

from apps.vault.errors import BadKeys

KEY_BYTES: Final = 32
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)


def read_key_list(keys: str) -> dict[str, bytes]:
    """Keys of 32 bytes by id, in order; base64 in the standard or the URL alphabet.

    Raises `BadKeys`, whose text and traceback hold nothing of a key.
    """
    try:
        return _read_all(keys)
    except BadKeys as error:
        reason = str(error)
    # Raised here, without its origin: those frames still hold key text.
    del keys
    raise BadKeys(reason)


def _read_all(keys: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for number, item in enumerate(keys.split(","), start=1):
        key_id, key = _read(number, item)
        if key_id in found:
            raise BadKeys(f"key id {key_id} is given twice")
        found[key_id] = key
    return found


def _read(number: int, item: str) -> tuple[str, bytes]:
    key_id, colon, encoded = item.strip().partition(":")
    if not colon or not _KEY_ID.fullmatch(key_id):
        raise BadKeys(f"key {number} is not written as id:base64")
    try:
        text = encoded.rstrip("=").replace("-", "+").replace("_", "/")
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:  # binascii.Error is one, and so is what other characters than ASCII raise
        raise BadKeys(f"key {key_id} is not base64") from None
    if len(key) != KEY_BYTES:
        raise BadKeys(f"key {key_id} has {len(key)} bytes instead of {KEY_BYTES}")
    return key_id, key
