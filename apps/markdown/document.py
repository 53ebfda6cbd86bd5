"""A whole answer to HTML."""

import logging
import re

from apps.markdown import grammar, rendering

_LOG = logging.getLogger(__name__)

#: Markdown counts up to the first line end from here; what follows is shown as plain text. Three times what
#: models answer today, and it bounds the time that a hostile text can cost.
MAX_MARKDOWN_CHARS = 400_000

_LINE_END = re.compile(r"\r\n?")
# NUL is not allowed in HTML, and half a surrogate pair cannot be encoded.
_UNREPRESENTABLE = re.compile("[\0\ud800-\udfff]")


def render(text: str) -> str:
    """`text` (a model's Markdown) as safe HTML. Never raises, and the same text gives the same HTML.

    Raw HTML is shown as text, images become links, links are absolute http, https or mailto. Link
    definitions count for the whole text, wherever they stand.
    """
    text = representable(_LINE_END.sub("\n", text))
    cut = text.find("\n", MAX_MARKDOWN_CHARS) + 1
    markdown, rest = (text[:cut], text[cut:]) if cut else (text, "")
    parts = _render_blocks(markdown)
    if rest.strip():
        parts.append(rendering.plain(rest))
    return "\n".join(parts)


def representable(text: str) -> str:
    """`text` with NUL and lone surrogates replaced, one for one."""
    return _UNREPRESENTABLE.sub("\ufffd", text)


def _render_blocks(text: str) -> list[str]:
    try:
        blocks = grammar.parse_blocks(text)
    except Exception:  # the text is still worth showing
        _LOG.exception("markdown not parsed")
        return [rendering.plain(text)]
    references: grammar.References = {}
    for block in blocks:
        for label, target in grammar.definitions(block).items():
            references.setdefault(label, target)
    lines = text.split("\n")
    return [
        rendering.render_block(block, grammar.source_of(block, lines), references)
        for block in blocks
        if not block.is_definition
    ]
