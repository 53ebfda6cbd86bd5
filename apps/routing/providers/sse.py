"""Server-sent events from bytes, as the WHATWG standard splits them: any line ending, any split of the input.

Works on bytes, so that a character torn between two reads is never decoded by halves.
"""

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event grew past the limit without ending."""


class EventParser:
    """Feed it what was read; it gives the `data` of each event that is complete. Comments and other fields are dropped.

    Raises `EventTooLarge` when an unfinished event has more than `max_event_bytes`.
    """

    __slots__ = ("_after_return", "_at_start", "_buffer", "_max_event_bytes", "_searched")

    def __init__(self, max_event_bytes: int = 1_048_576) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no event ends before this place in the buffer
        self._after_return = False
        self._at_start = True
        self._max_event_bytes = max_event_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """The events that `data` completes, in order."""
        if self._after_return or b"\r" in data:
            data = self._with_newlines(data)
        buffer = self._buffer
        if not buffer and not self._at_start and data.endswith(b"\n\n"):
            # The common read: whole events, and nothing left over from the one before.
            return _payloads(data[:-2])
        buffer += data
        if self._at_start and not self._skip_mark():
            return []
        end = buffer.find(b"\n\n", self._searched)
        if end < 0:
            self._searched = max(0, len(buffer) - 1)
            if len(buffer) > self._max_event_bytes:
                raise EventTooLarge(f"an event has more than {self._max_event_bytes} bytes")
            return []
        # Everything up to the last blank line is complete.
        last = buffer.rfind(b"\n\n")
        whole = bytes(buffer[:last])
        del buffer[: last + 2]
        self._searched = max(0, len(buffer) - 1)
        return _payloads(whole)

    def rest(self) -> list[bytes]:
        """The event that the end of the input left without its blank line, if there is one."""
        block, self._buffer = bytes(self._buffer), bytearray()
        payload = _payload(block)
        return [] if payload is None else [payload]

    def _with_newlines(self, data: bytes) -> bytes:
        """CR and CRLF as LF. A CR at the end counts at once; the LF that may follow it is then dropped."""
        if self._after_return and data[:1] == b"\n":
            data = data[1:]
            self._after_return = False
        if data:
            self._after_return = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _skip_mark(self) -> bool:
        """Drop a byte order mark; False while it is not clear whether there is one."""
        if len(self._buffer) < len(_BOM) and _BOM.startswith(bytes(self._buffer)):
            return False
        if self._buffer.startswith(_BOM):
            del self._buffer[: len(_BOM)]
        self._at_start = False
        return True


def _payloads(whole: bytes) -> list[bytes]:
    return [payload for block in whole.split(b"\n\n") if (payload := _payload(block)) is not None]


def _payload(block: bytes) -> bytes | None:
    """The joined `data` lines of one event; None without any."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return block[6:]
    lines = []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            lines.append(value[1:] if value.startswith(b" ") else value)
    return b"\n".join(lines) if lines else None
