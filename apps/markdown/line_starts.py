"""What the beginning of a line tells: enough to act on a line before it is complete, or to leave it alone."""

import re

# Each alternative is a beginning after which no further text on the line can change which kinds of block
# it starts, continues or ends. Deliberately narrow: an unsettled line merely waits for its end.
_SETTLED = re.compile(
    r"""[ \t]*(?:
      [^\s\d\#>\-+*_=~`|$\\\[:]                    # a letter, a bracket, `<`: plain text
    | \#{1,6}[^\#] | \#{7}                         # heading, or not
    | >.                                           # quote
    | `{1,2}[^`] | ```                             # inline code; a fence, or text that ends what is above
    | ~{1,2}[^~] | ~~~
    | \$[^$] | \$\$                                # a price, inline mathematics; a formula block
    | \\.
    | \d{1,9}[^\d.)] | \d{10} | \d{1,9}[.)](?:[^ \t]|[ \t]+\S)     # a number; list item
    | \[(?:\\.|[^\[\]\\])*(?:\[|\][^:])            # a link, not the definition of one
    | [-+*_=:][-+*_=:| \t]*[^-+*_=:| \t]           # emphasis, list item: not a rule, underline or table head
    )""",
    re.VERBOSE,
)
#: A line that is not settled by so many characters waits for its end.
MAX_SETTLE_CHARS = 256

_PLAIN_START = re.compile(r"[ \t]*[^\s\d#>\-+*_=~`|$\\\[:]")
_BULLET = re.compile(r" {0,3}([-+*])[ \t]+[^-+*_ \t]")
_NUMBER = re.compile(r" {0,3}\d{1,9}([.)])[ \t]+\S")
_INDENTED = re.compile(r" {2}|\t")


def is_blank(line: str) -> bool:
    return not line.strip(" \t")


def is_settled(beginning: str) -> bool:
    """Whether the kind of a line that starts with `beginning` is certain, however it goes on."""
    return _SETTLED.match(beginning) is not None


def surely_continues(line: str, kind: str, markup: str) -> bool:
    """Whether `line` only makes the open block of `kind` longer, so that parsing can wait.

    A wrong "no" costs a parse; a wrong "yes" delays a block's close by a line, never its content.
    """
    if kind == "paragraph":
        return _PLAIN_START.match(line) is not None
    if kind == "list":
        item = _BULLET.match(line) or _NUMBER.match(line)
        return is_blank(line) or (item[1] == markup if item else _INDENTED.match(line) is not None)
    if kind == "quote":
        return line.lstrip(" \t").startswith(">")
    if kind == "table":
        return line.lstrip(" \t").startswith("|")
    if kind == "math":
        return bool(line.strip()) and "$$" not in line and "\\]" not in line
    return False
