"""Markdown that arrives in pieces: which block is open, and the final HTML of each that is complete.

The lines of blocks that are not closed yet (the tail) are parsed again when a new line may have closed
one, never for every piece, and only for blocks, not for inline content. Inside a fence only its end is
looked for. A heavy tail is parsed again only after it grew by a part of itself, so the cost stays linear.
"""

import logging
import re
from dataclasses import dataclass

from apps.markdown import grammar, highlighting, line_starts, rendering
from apps.markdown.contracts import BlockClosed, BlockEvent, BlockKind, BlockOpened
from apps.markdown.document import MAX_MARKDOWN_CHARS, representable

_LOG = logging.getLogger(__name__)

# A parse costs about as much per line as per 64 characters; tails are weighed by both.
_LINE_WEIGHT_CHARS = 64
#: A lighter tail is parsed whenever that may close a block.
LIGHT_TAIL_CHARS = 8_192
#: So is a tail up to this weight, for a few parses in a row that closed nothing; then, only when it grew by a
#: sixteenth. A tail beyond it is no text for people any more, and waits until it grew by a quarter.
HEAVY_TAIL_CHARS = 131_072
_PATIENCE_PARSES = 8

_LINE_END = re.compile(r"\r\n|\r|\n")
_KINDS: dict[str, BlockKind] = {
    "paragraph_open": "paragraph",
    "heading_open": "heading",
    "fence": "fence",
    "code_block": "fence",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "table_open": "table",
    "blockquote_open": "quote",
    "math_block": "math",
    "hr": "rule",
}
# What stands before the visible text on a block's first line.
_MARKERS = {
    "heading_open": re.compile(r"[ \t]*(?:#{1,6}(?:[ \t]+|$))?"),
    "blockquote_open": re.compile(r"[ \t]*>[ \t]?"),
    "code_block": re.compile(r" {0,3}\t| {4}"),
    "math_block": re.compile(r"[ \t]*(?:\$\$|\\\[)[ \t]*"),
}
_INDENT = re.compile(r"[ \t]*")
_MAYBE_DEFINITION = re.compile(r" {0,3}\[(?:\\.|[^\[\]\\])*\]:[ \t]*\Z")


@dataclass(slots=True)
class _Open:
    index: int
    first_line: int  # in the tail
    kind: BlockKind
    markup: str


class BlockStream:
    """One answer's Markdown as a stream of block events.

    Every block is opened once and closed once, in order, one at a time. The HTML of all closed blocks
    equals `render()` of the whole text apart from the white space between blocks, however the text was cut.
    One deviation: a link definition counts only from where it stands, because blocks above it are
    already final; `render()` of the finished text is the final truth.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []  # the tail's complete lines, and where each starts in the raw text
        self._starts: list[int] = []
        self._pieces: list[str] = []  # the line that is not complete yet, and how it begins
        self._beginning = ""
        self._piece_start = 0
        self._offset = 0  # UTF-16 code units of raw text taken in
        self._chars = 0  # characters of complete lines so far
        self._holds_return = False  # a "\r" that may be half of "\r\n"
        self._is_settled = False  # the incomplete line has been acted on
        self._needs_parse = False
        self._tail_weight = 0
        self._parse_at_weight = 0
        self._patience_parses = _PATIENCE_PARSES
        self._fence_end: re.Pattern[str] | None = None
        self._open: _Open | None = None
        self._next_index = 0
        self._references: grammar.References = {}
        self._is_plain = False
        self._plain_lines_seen = 0
        self._is_finished = False

    def is_heavy(self, delta: str | None) -> bool:
        """Whether taking in `delta` (None: the end) may cost more than a few milliseconds: the open block is long.

        Inside a fence a piece costs nothing unless it may end it.
        """
        if self._tail_weight <= LIGHT_TAIL_CHARS:
            return False
        if delta is None or self._fence_end is None:
            return True
        line = self._beginning + delta
        return "\n" in delta and ("`" in line or "~" in line)

    def feed(self, delta: str) -> list[BlockEvent]:
        """Take in the next piece of text, of any length; what it opened and closed."""
        events: list[BlockEvent] = []
        if self._holds_return:
            delta, self._holds_return = "\r" + delta, False
        if delta.endswith("\r"):
            delta, self._holds_return = delta[:-1], True
        position = 0
        for line_end in _LINE_END.finditer(delta):
            self._take(delta[position : line_end.start()])
            self._end_line(len(line_end[0]), events)
            position = line_end.end()
        self._take(delta[position:])
        self._parse_if_useful(events)
        return events

    def finish(self) -> list[BlockEvent]:
        """The text is complete: close what is open. Nothing may be fed afterwards."""
        events: list[BlockEvent] = []
        if self._is_finished:
            return events
        if self._holds_return:
            self._holds_return = False
            self._end_line(1, events)
        self._is_finished = True
        if self._is_plain:
            self._close_plain(events)
        else:
            self._parse(events, is_final=True)
        return events

    def _take(self, piece: str) -> None:
        if piece:
            piece = representable(piece)
            self._pieces.append(piece)
            self._beginning += piece[: line_starts.MAX_SETTLE_CHARS - len(self._beginning)]
            self._offset += _utf16_units(piece)

    def _end_line(self, width: int, events: list[BlockEvent]) -> None:
        """The incomplete line ended with a line end of `width` code units."""
        line = "".join(self._pieces)
        self._lines.append(line)
        self._starts.append(self._piece_start)
        self._offset += width
        self._pieces, self._beginning, self._is_settled = [], "", False
        self._piece_start = self._offset
        self._tail_weight += len(line) + _LINE_WEIGHT_CHARS
        self._chars += len(line) + 1
        if self._is_plain:
            return
        if self._fence_end is not None:
            if self._fence_end.fullmatch(line):
                self._fence_end, self._parse_at_weight, self._needs_parse = None, 0, True
        elif not self._needs_parse:
            self._needs_parse = not self._continues(line)
        if self._chars > MAX_MARKDOWN_CHARS:
            self._parse(events, is_final=True)
            self._is_plain = True

    def _continues(self, line: str) -> bool:
        if self._open is None:
            return line_starts.is_blank(line)
        return line_starts.surely_continues(line, self._open.kind, self._open.markup)

    def _parse_if_useful(self, events: list[BlockEvent]) -> None:
        if self._is_plain:
            self._open_plain(events)
            return
        if self._fence_end is not None:
            return
        if not self._is_settled and line_starts.is_settled(self._beginning):
            self._is_settled = True
            self._needs_parse = self._needs_parse or not self._continues(self._beginning)
        if self._needs_parse and self._tail_weight >= self._parse_at_weight:
            self._parse(events, is_final=False)

    def _parse(self, events: list[BlockEvent], *, is_final: bool) -> None:
        """Parse the tail; close what is complete, open what has begun, and forget closed lines."""
        lines = list(self._lines)
        if self._is_settled or is_final:
            lines.append("".join(self._pieces))
        text = "\n".join(lines) + ("" if len(lines) > len(self._lines) else "\n")
        try:
            blocks = grammar.parse_blocks(text)
        except Exception:  # as in render(): show the text; later lines may still be parsed
            _LOG.exception("markdown not parsed")
            if is_final:
                self._close_plain(events)
            return
        count = len(blocks) if is_final else self._complete_blocks(blocks)
        self._drop_vanished(blocks, events)
        for block in blocks[:count]:
            self._close(block, lines, events)
        if count < len(blocks):
            if count == len(blocks) - 1:
                self._open_block(blocks[-1], lines, events)
            self._forget(blocks[count].first_line)
        else:
            self._forget(blocks[-1].end_line if blocks else len(self._lines))
        self._needs_parse = False
        self._patience_parses = _PATIENCE_PARSES if count else self._patience_parses - 1
        if self._tail_weight > HEAVY_TAIL_CHARS:
            self._parse_at_weight = self._tail_weight + self._tail_weight // 4
        elif self._tail_weight > LIGHT_TAIL_CHARS and self._patience_parses <= 0:
            self._parse_at_weight = self._tail_weight + self._tail_weight // 16
        else:
            self._parse_at_weight = 0

    def _complete_blocks(self, blocks: list[grammar.Block]) -> int:
        """How many of the tail's blocks no further text can change."""
        if not blocks or self._is_complete(blocks[-1]):
            return len(blocks)
        last = len(blocks) - 1
        above = last
        # The title of a link definition may stand on the lines below it, and end where nobody knows yet.
        while above and blocks[above].is_text and blocks[above - 1].end_line == blocks[above].first_line:
            above -= 1
            if blocks[above].ends_in_definition:
                return above
        return last

    def _is_complete(self, block: grammar.Block) -> bool:
        if block.end_line > len(self._lines):
            return False
        match block.head.type:
            case "heading_open" | "hr":
                return True
            case "fence":
                return block.is_closed_fence(self._lines)
            case "math_block" if block.head.meta["closed"]:
                return True
            case "bullet_list_open" | "ordered_list_open" | "code_block" | "math_block":
                return False
        return block.end_line < len(self._lines) and line_starts.is_blank(self._lines[block.end_line])

    def _drop_vanished(self, blocks: list[grammar.Block], events: list[BlockEvent]) -> None:
        """The open paragraph turned out to be a link definition: close it with nothing."""
        visible = (block.first_line for block in blocks if not block.is_definition)
        if self._open is not None and next(visible, None) != self._open.first_line:
            events.append(BlockClosed(self._open.index, ""))
            self._open = None

    def _close(self, block: grammar.Block, lines: list[str], events: list[BlockEvent]) -> None:
        for label, target in grammar.definitions(block).items():
            self._references.setdefault(label, target)
        if block.is_definition:
            return
        if self._open is None:
            self._announce(block, lines, events)
        assert self._open is not None  # noqa: S101
        source = grammar.source_of(block, lines)
        events.append(BlockClosed(self._open.index, rendering.render_block(block, source, self._references)))
        self._open = None

    def _open_block(self, block: grammar.Block, lines: list[str], events: list[BlockEvent]) -> None:
        if block.head.type == "fence" and block.first_line < len(self._lines):
            self._fence_end = block.fence_end()
        if self._open is None and not self._is_undecided(block, lines):
            self._announce(block, lines, events)

    def _is_undecided(self, block: grammar.Block, lines: list[str]) -> bool:
        """Whether showing the open block now might show the wrong kind."""
        if block.is_definition:
            return True
        first = lines[block.first_line]
        if block.head.type in ("fence", "math_block"):
            return block.first_line >= len(self._lines)
        if block.head.type != "paragraph_open":
            return False
        is_alone = block.end_line - block.first_line == 1
        return is_alone and (first.lstrip(" \t").startswith("|") or bool(_MAYBE_DEFINITION.match(first)))

    def _announce(self, block: grammar.Block, lines: list[str], events: list[BlockEvent]) -> None:
        head = block.head
        info = highlighting.language_of(head.info)[1] if head.type == "fence" else ""
        kind = _KINDS[head.type]
        self._open = _Open(self._next_index, block.first_line, kind, head.markup)
        self._next_index += 1
        events.append(BlockOpened(self._open.index, kind, info, self._visible_start(block, lines)))

    def _visible_start(self, block: grammar.Block, lines: list[str]) -> int:
        starts = [*self._starts, self._piece_start]
        first = lines[block.first_line]
        marker = _MARKERS.get(block.head.type, _INDENT).match(first)
        width = marker.end() if marker else 0
        if block.head.type == "fence" or (block.head.type == "math_block" and width == len(first)):
            is_complete = block.first_line < len(self._lines)
            return starts[block.first_line + 1] if is_complete else self._offset
        return starts[block.first_line] + width

    def _forget(self, line_count: int) -> None:
        """Drop the tail's first lines."""
        line_count = min(line_count, len(self._lines))
        self._tail_weight -= sum(len(line) + _LINE_WEIGHT_CHARS for line in self._lines[:line_count])
        del self._lines[:line_count], self._starts[:line_count]
        if self._open is not None:
            self._open.first_line -= line_count

    def _open_plain(self, events: list[BlockEvent]) -> None:
        """Behind `MAX_MARKDOWN_CHARS`: one last block of plain text, once there is anything to see."""
        if self._open is not None:
            return
        new_lines = self._lines[self._plain_lines_seen :]
        self._plain_lines_seen = len(self._lines)
        if ("".join(new_lines) + self._beginning).strip():
            start = [*self._starts, self._piece_start][0]
            self._open = _Open(self._next_index, 0, "fence", "")
            self._next_index += 1
            events.append(BlockOpened(self._open.index, "fence", "", start))

    def _close_plain(self, events: list[BlockEvent]) -> None:
        text = "\n".join([*self._lines, "".join(self._pieces)])
        self._plain_lines_seen, self._beginning = 0, text
        self._open_plain(events)
        if self._open is not None:
            events.append(BlockClosed(self._open.index, rendering.plain(text)))
            self._open = None


def _utf16_units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
