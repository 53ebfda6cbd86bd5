"""The one Markdown dialect, as a markdown-it parser: CommonMark with tables, strikethrough, task lists,
bare links and mathematics; raw HTML is text.

Every block rule decides from its own lines and at most the line after them. That is what lets a stream
close a block for good: a rule that searched the rest of the text for its end (as the usual `$$` rules do)
would turn closed paragraphs into something else later. Two departures from CommonMark serve the same end:
a line that begins with three backticks, `$$` or `\\[` always ends the paragraph above it, and a line that
starts another kind of block is never a table's head.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import table as commonmark_table
from markdown_it.rules_core import StateCore
from markdown_it.rules_core.text_join import text_join
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from apps.markdown.link_rules import add_link_rules
from apps.markdown.math_rules import add_math_rules

#: Levels of lists and quotes; a list costs two.
MAX_BLOCK_NESTING = 40
#: Levels of links, images and the like, which the inline parser enters by recursion, at a cost per level.
MAX_LINK_NESTING = 16
#: Levels of emphasis, which it does not limit by itself.
MAX_MARK_NESTING = 32
MAX_INLINE_CHARS = 50_000
MAX_TABLE_COLUMNS = 64

References = dict[str, dict[str, str]]

_INTERRUPTS = ["paragraph", "reference", "blockquote", "list"]


@dataclass(frozen=True, slots=True)
class Block:
    """One top-level block: its tokens, and its lines [first_line, end_line) in the parsed text."""

    tokens: list[Token]
    first_line: int
    end_line: int

    @property
    def head(self) -> Token:
        return self.tokens[0]

    @property
    def is_definition(self) -> bool:
        """A link definition: known to the parser, invisible to the reader."""
        return self.head.type == "definition"

    @property
    def is_text(self) -> bool:
        """Lines that might also go on with what stands right above them."""
        return self.head.type in ("paragraph_open", "code_block")

    @property
    def ends_in_definition(self) -> bool:
        """Whether a title on the next line would still belong to it: a definition, or a list that ends in one."""
        last = next((token for token in reversed(self.tokens) if token.nesting >= 0), self.head)
        return last.type == "definition"

    def fence_end(self) -> re.Pattern[str]:
        """What the line that ends this fence looks like."""
        marker, length = self.head.markup[0], len(self.head.markup)
        return re.compile(rf" {{0,3}}{marker}{{{length},}}[ \t]*")

    def is_closed_fence(self, lines: list[str]) -> bool:
        """Whether the fence has its end among `lines`, the parsed text's lines."""
        return self.end_line - self.first_line > 1 and bool(self.fence_end().fullmatch(lines[self.end_line - 1]))


def parse_blocks(text: str) -> list[Block]:
    """Top-level blocks of `text` (normalised: `\\n` only), in order. Inline content stays unparsed."""
    tokens: list[Token] = []
    _BLOCKS.block.parse(text, _BLOCKS, {}, tokens)
    blocks: list[Block] = []
    first = 0
    for position, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            lines = tokens[first].map
            assert lines is not None  # noqa: S101  # every block rule maps the token it opens with
            blocks.append(Block(tokens[first : position + 1], lines[0], lines[1]))
            first = position + 1
    return blocks


def source_of(block: Block, lines: list[str]) -> str:
    """The block's raw text, given the parsed text's lines."""
    return "\n".join(lines[block.first_line : block.end_line]).rstrip("\n")


def parse_inline(blocks: Iterable[Block], references: References) -> None:
    """Parse the inline content of `blocks` in place. `references` are the link definitions in force.

    Content that is too long or nested too deeply for a browser stays plain text.
    """
    env = {"references": references}
    for block in blocks:
        for token in block.tokens:
            if token.type == "inline":
                token.children = _inline_tokens(token.content, env)


def definitions(block: Block) -> References:
    """The link definitions a block holds, by normalised label; the first of a label counts."""
    found: References = {}
    for token in block.tokens:
        if token.type == "definition":
            entry = {"href": token.meta["url"], "title": token.meta["title"]}
            found.setdefault(token.meta["id"], entry)
    return found


def is_nested_too_deeply(block: Block) -> bool:
    """Whether the parser stopped at its nesting limit, which drops what lies deeper."""
    return any(token.nesting == 1 and token.level >= MAX_BLOCK_NESTING - 1 for token in block.tokens)


def _inline_tokens(content: str, env: dict[str, Any]) -> list[Token]:
    tokens: list[Token] = []
    if len(content) <= MAX_INLINE_CHARS:
        _INLINES.inline.parse(content, _INLINES, env, tokens)
        tokens = _join_text(tokens)
        if max((token.level for token in tokens), default=0) <= MAX_MARK_NESTING:
            _mark_linked_images(tokens)
            return tokens
    return [Token("text", "", 0, content=content)]


def _mark_linked_images(tokens: list[Token]) -> None:
    """An image inside a link must not become a link of its own."""
    depth = 0
    for token in tokens:
        depth += token.nesting if token.tag == "a" else 0
        if token.type == "image":
            token.meta["is_linked"] = depth > 0


def _join_text(tokens: list[Token]) -> list[Token]:
    holder = Token("inline", "", 0, children=tokens)
    state = StateCore("", _INLINES, {}, [holder])
    text_join(state)
    return holder.children or []


def _table(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A GFM table whose head is plain text and which has a sane number of columns."""
    if not commonmark_table(state, start_line, end_line, True):
        return False
    delimiters = state.src[state.bMarks[start_line + 1] : state.eMarks[start_line + 1]]
    if delimiters.count("|") > MAX_TABLE_COLUMNS:
        return False
    # As if the line stood alone: below a paragraph, "2." would start no list, and the answer would differ.
    parent, state.parentType = state.parentType, "root"
    others = state.md.block.ruler.getRules("blockquote")
    starts_another = any(rule(state, start_line, end_line, True) for rule in others)
    state.parentType = parent
    if starts_another:
        return False
    return silent or commonmark_table(state, start_line, end_line, False)


def _backticks_break(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """Three backticks end a paragraph even where, with a backtick in the line, they open no fence.

    Without this a stream could not tell before the line ends whether the paragraph above is complete.
    """
    if not silent or state.is_code_block(start_line):
        return False
    return state.src.startswith("```", state.bMarks[start_line] + state.tShift[start_line])


def _build(max_nesting: int) -> MarkdownIt:
    options = {"maxNesting": max_nesting, "html": False, "tasklists": True, "inline_definitions": True}
    md = MarkdownIt("commonmark", options)
    md.enable(["table", "strikethrough"])
    md.disable(["html_block", "html_inline"])
    md.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    md.block.ruler.after("fence", "backticks_break", _backticks_break, {"alt": _INTERRUPTS})
    add_math_rules(md, _INTERRUPTS)
    add_link_rules(md)
    return md


# Parsers keep no state between calls, so threads share them.
_BLOCKS = _build(MAX_BLOCK_NESTING)
_INLINES = _build(MAX_LINK_NESTING)


def options() -> OptionsDict:
    """The parser's options, which the renderer reads too."""
    return _BLOCKS.options
