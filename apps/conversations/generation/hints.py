"""Hints to a person's open pages: something happened in this conversation. Never the thing itself."""

from uuid import UUID

import apps.streaming.hints as streaming


async def answer_ended(tenant_id: UUID, user_id: UUID, conversation_id: UUID) -> None:
    """Tell the person's devices that an answer of this conversation is final."""
    await streaming.ahint(streaming.person(tenant_id, user_id), changed(conversation_id, "finished"))


def tell(tenant_id: UUID, user_id: UUID, conversation_id: UUID, what: str, **more: str) -> None:
    """The same from synchronous code: `what` is created, message, title, deleted, restored or finished."""
    streaming.hint(streaming.person(tenant_id, user_id), changed(conversation_id, what, **more))


def changed(conversation_id: UUID, what: str, **more: str) -> dict[str, str]:
    return {"type": "conversation.changed", "conversation_id": str(conversation_id), "what": what, **more}
