"""AWS's binary event stream, from events written as text: what Bedrock's `converse-stream` sends.

A message is: its length, its headers' length, their CRC, the headers, the payload, the CRC of all before it.
"""

import json
from binascii import crc32
from struct import pack


def encoded(lines: str) -> bytes:
    """Each line is one event, `{"type": {...}}`; a type with a `!` in front is an exception."""
    return b"".join(_message(*next(iter(json.loads(line).items()))) for line in lines.splitlines())


def _message(kind: str, body: object) -> bytes:
    exception = kind.startswith("!")
    headers = {
        (":exception-type" if exception else ":event-type"): kind.removeprefix("!"),
        ":content-type": "application/json",
        ":message-type": "exception" if exception else "event",
    }
    packed = b"".join(_header(name, value) for name, value in headers.items())
    payload = json.dumps(body, ensure_ascii=False).encode()
    prelude = pack("!II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + pack("!I", crc32(prelude)) + packed + payload
    return message + pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    return pack("!B", len(name)) + name.encode() + b"\x07" + pack("!H", len(value)) + value.encode()
