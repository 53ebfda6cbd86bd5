"""What crosses the border: the events of a streamed answer and the renderer's version."""

from dataclasses import dataclass
from typing import Literal

#: Part of every cache key over rendered HTML. Raise it whenever the HTML of any text may change,
#: an upgrade of markdown-it-py, Pygments, latex2mathml or nh3 included.
RENDERER_VERSION = 1

#: The last one is kept for clients: raw HTML is text here, so no block of that kind is opened today.
BlockKind = Literal["paragraph", "heading", "fence", "list", "table", "quote", "math", "rule", "html"]


@dataclass(frozen=True, slots=True)
class BlockOpened:
    """A new top-level block began; until it closes, its text grows as plain text.

    `start` counts UTF-16 code units into the whole raw answer, to where the visible text starts: after
    the marker of a heading or quote, after the first line of a fence, at the first character of
    anything else. It may lie at the very end of what has arrived. `info` is a fence's language,
    named as its finished frame will name it.
    """

    index: int
    kind: BlockKind
    info: str
    start: int


@dataclass(frozen=True, slots=True)
class BlockClosed:
    """Block `index` is complete and this is its final, safe HTML.

    Empty HTML means that what looked like a block turned out to be invisible (a link definition).
    """

    index: int
    html: str


BlockEvent = BlockOpened | BlockClosed
