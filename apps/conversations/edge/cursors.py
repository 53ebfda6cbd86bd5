"""Page cursors: opaque to callers, checked on the way back in."""

import base64
import binascii
from datetime import UTC, datetime
from uuid import UUID

from apps.conversations.contracts import ConversationSummary
from apps.conversations.errors import InvalidMessage


def conversation_cursor(last: ConversationSummary) -> str:
    """Where the next page of the sidebar begins: after `last`."""
    micros = round(last.last_activity_at.timestamp() * 1_000_000)
    return base64.urlsafe_b64encode(micros.to_bytes(8) + last.id.bytes).decode().rstrip("=")


def parse_conversation_cursor(cursor: str) -> tuple[datetime, UUID] | None:
    """The inverse; None for no cursor. Raises `InvalidMessage` for anything that is not one of ours."""
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        if len(raw) != 24:
            raise ValueError
        at = datetime.fromtimestamp(int.from_bytes(raw[:8]) / 1_000_000, UTC)
        return at, UUID(bytes=raw[8:])
    except (ValueError, binascii.Error, OverflowError, OSError):
        raise InvalidMessage("before: This is not a cursor of this list.", fields={"before": ["Unknown."]}) from None
