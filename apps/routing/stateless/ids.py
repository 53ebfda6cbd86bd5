"""Ids of calls and attempts that are made by the thousand in a second."""

import os
import time
from uuid import UUID

_RANDOM_BYTES = 10
_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_FIXED = ~(0xF << 76 | 0b11 << 62)


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562, 5.7): milliseconds since 1970 and 74 random bits.

    Those of one millisecond have no order. A generator that keeps one by counting milliseconds up runs ahead of the
    clock where more than a thousand a second are made.
    """
    at_ms = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(_RANDOM_BYTES))
    return UUID(int=(at_ms << 80 | random) & _FIXED | _VERSION | _VARIANT)
