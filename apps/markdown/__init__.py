"""Markdown to safe HTML, whole or block by block while it streams. No tables, no Django."""

from apps.markdown.contracts import RENDERER_VERSION, BlockClosed, BlockEvent, BlockKind, BlockOpened
from apps.markdown.document import render
from apps.markdown.stream import BlockStream

__all__ = [
    "RENDERER_VERSION",
    "BlockClosed",
    "BlockEvent",
    "BlockKind",
    "BlockOpened",
    "BlockStream",
    "render",
]
