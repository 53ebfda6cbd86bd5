"""Mathematics in Markdown: `$…$`, `$$…$$`, `\\(…\\)` and `\\[…\\]`, inline and as blocks.

mdit-py-plugins' dollarmath is not used: it knows no backslash delimiters, looks at the text's last
character when a dollar stands first (`$x$ costs 5` stays text), and searches the whole text for a
closing `$$`, so that what a stream has already shown as paragraphs becomes a formula later.
"""

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

#: Longer sources are shown, not converted (see `mathml`), so longer inline formulas are not looked for.
MAX_MATH_CHARS = 4_000
#: A formula block that found no end after this many lines ends there.
MAX_MATH_LINES = 64

_CLOSERS = {"$$": "$$", "\\[": "\\]"}


def add_math_rules(md: MarkdownIt, interrupts: list[str]) -> None:
    """Add the block and inline rules; `interrupts` names the block kinds that a formula block ends."""
    md.block.ruler.after("fence", "math_block", _math_block, {"alt": interrupts})
    md.inline.ruler.before("escape", "math_inline", _math_inline)


def _math_block(state: StateBlock, start_line: int, end_line: int, silent: bool) -> bool:
    """A formula on its own lines.

    The opener alone on its line runs to the closer, blank lines included; with text behind the opener, a
    blank line ends it too. An end that never comes leaves the source (`meta["closed"]` is false).
    """
    if state.is_code_block(start_line):
        return False
    begin = state.bMarks[start_line] + state.tShift[start_line]
    opener = state.src[begin : begin + 2]
    closer = _CLOSERS.get(opener)
    if closer is None:
        return False
    if silent:
        return True
    first = state.src[begin + 2 : state.eMarks[start_line]].strip()
    if closer in first[:-2] or (first.startswith("$") and opener == "$$"):
        return False  # the formula ends inside the line: a paragraph that begins with inline mathematics
    next_line, parts, closed = start_line + 1, [first], False
    if first.endswith(closer):
        parts, closed = [first[:-2]], True
    else:
        next_line, closed = _collect(state, start_line, end_line, closer, parts)
    token = state.push("math_block", "math", 0)
    token.block = True
    token.content = "\n".join(parts).strip()
    token.markup = opener
    token.map = [start_line, next_line]
    token.meta = {"closed": closed}
    state.line = next_line
    return True


def _collect(state: StateBlock, start_line: int, end_line: int, closer: str, parts: list[str]) -> tuple[int, bool]:
    """Append the formula's further lines to `parts`; the line after it, and whether its end was found."""
    spans_blank_lines = not parts[0]
    for line in range(start_line + 1, min(end_line, start_line + MAX_MATH_LINES)):
        if state.isEmpty(line):
            if not spans_blank_lines:
                return line, False
            continue
        if state.sCount[line] < state.blkIndent:
            return line, False
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        if text.endswith(closer):
            parts.append(text[:-2])
            return line + 1, True
        parts.append(text)
    return min(end_line, start_line + MAX_MATH_LINES), False


def _math_inline(state: StateInline, silent: bool) -> bool:
    source, start = state.src, state.pos
    if source[start] == "$":
        end, width = _dollar_end(source, start, state.posMax)
    elif source.startswith(("\\(", "\\["), start):
        closer = "\\)" if source[start + 1] == "(" else "\\]"
        end, width = source.find(closer, start + 2, min(state.posMax, start + MAX_MATH_CHARS)), 2
    else:
        return False
    if end < 0 or not (content := source[start + width : end].strip()):
        return False
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content = content
        token.markup = source[start : start + width]
    state.pos = end + width
    return True


def _dollar_end(source: str, start: int, limit: int) -> tuple[int, int]:
    """Where the formula opened at `start` ends (-1: it is no formula) and its delimiter's width.

    A single dollar follows Pandoc's rule, so that prices stay prices: no space inside the delimiters, and
    no digit behind the closing one.
    """
    limit = min(limit, start + MAX_MATH_CHARS)
    if source.startswith("$$", start):
        return (-1, 2) if source.startswith("$$$", start) else (source.find("$$", start + 2, limit), 2)
    if source[start + 1 : start + 2].isspace():
        return -1, 1
    end = start + 1
    while (end := source.find("$", end, limit)) >= 0:
        before = source[start + 1 : end]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            is_closing = bool(before) and not before[-1].isspace() and not source[end + 1 : end + 2].isdigit()
            return (end if is_closing else -1), 1
        end += 1
    return -1, 1
