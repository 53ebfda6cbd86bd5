"""Links in Markdown: which may be live, and bare `https://…` addresses.

mdit-py-plugins' gfm_autolink is not used: at every colon it searches the text before it, so that 50 kB of
`http:` cost seven seconds.
"""

import re

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

MAX_LINK_CHARS = 2_000

_SAFE_LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_SCHEME_BEFORE = re.compile(r"(?:^|[^\w])(https?)\Z", re.IGNORECASE)
_ADDRESS = re.compile(rf"://[^\s<>`\"“”，。）」]{{1,{MAX_LINK_CHARS}}}")
_TRAILING_PUNCTUATION = "?!.,:;*_~'\"]"


def add_link_rules(md: MarkdownIt) -> None:
    """Let only http, https and mailto be links (anything else stays text), and link bare addresses."""
    md.validateLink = is_safe_link  # type: ignore[method-assign]
    md.inline.ruler.before("escape", "bare_link", _bare_link)


def is_safe_link(url: str) -> bool:
    """Whether a link to `url` may be live: absolute, and of a scheme that runs nothing."""
    return _SAFE_LINK.match(url) is not None


def _bare_link(state: StateInline, silent: bool) -> bool:
    start = state.pos
    if silent or state.linkLevel > 0 or not state.src.startswith("://", start):
        return False
    scheme = _SCHEME_BEFORE.search(state.src, max(0, start - 6), start)
    address = _ADDRESS.match(state.src, start, state.posMax)
    if scheme is None or address is None or not state.pending.endswith(scheme[1]):
        return False
    rest = _without_punctuation(address[0])
    url = scheme[1] + rest
    href = state.md.normalizeLink(url)
    if len(rest) == len("://") or not state.md.validateLink(href):
        return False
    state.pending = state.pending[: -len(scheme[1])]
    token = state.push("link_open", "a", 1)
    token.attrs = {"href": href}
    token.markup, token.info = "autolink", "auto"
    state.push("text", "", 0).content = state.md.normalizeLinkText(url)
    token = state.push("link_close", "a", -1)
    token.markup, token.info = "autolink", "auto"
    state.pos = start + len(rest)
    return True


def _without_punctuation(address: str) -> str:
    """`address` without what more likely belongs to the sentence: full stops, unbalanced brackets."""
    surplus = address.count(")") - address.count("(")
    end = len(address)
    while end:
        if address[end - 1] == ")" and surplus > 0:
            surplus -= 1
        elif address[end - 1] not in _TRAILING_PUNCTUATION:
            break
        end -= 1
    return address[:end]
