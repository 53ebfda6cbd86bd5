"""Blocks to safe HTML: markdown-it's renderer with this page's markup, then the sanitiser."""

import logging
from collections.abc import Sequence
from html import escape
from typing import Any
from urllib.parse import urlsplit

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from apps.markdown import grammar, highlighting, mathml
from apps.markdown.sanitizing import sanitize

_LOG = logging.getLogger(__name__)

#: The page owns h1 and h2; an answer's own headings begin below them.
HEADING_SHIFT = 2
_LAST_HEADING = 6


def render_block(block: grammar.Block, source: str, references: grammar.References) -> str:
    """The block's final HTML. `source` is its raw text, shown as it is where rendering is impossible."""
    if grammar.is_nested_too_deeply(block):
        return plain(source)
    try:
        grammar.parse_inline([block], references)
        return sanitize(_RENDERER.render(block.tokens, _OPTIONS, {})).strip()
    except Exception:  # one bad block must not take the answer with it
        _LOG.exception("markdown block not rendered")
        return plain(source)


def plain(source: str) -> str:
    """`source` as preformatted text without any interpretation."""
    return sanitize(f'<pre class="plain" tabindex="0">{escape(source, quote=False)}</pre>')


class _Renderer(RendererHTML):
    """One method per token type that differs from markdown-it's own HTML. Arguments are the interface's."""

    def heading_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<{_shifted(tokens[idx].tag)}>"

    def heading_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"</{_shifted(tokens[idx].tag)}>\n"

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _code(tokens[idx].content, tokens[idx].info)

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return _code(tokens[idx].content, "")

    def math_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        math = mathml.to_mathml(token.content, display=True) if token.meta["closed"] else ""
        content = math or _math_source(token.content)
        return f'<div class="math-block" tabindex="0" role="group" aria-label="Formula">{content}</div>\n'

    def math_inline(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        display = token.markup in ("$$", "\\[")
        return mathml.to_mathml(token.content, display=display) or _math_source(token.content)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A link instead of the picture: loading it would tell its host what the answer holds."""
        token = tokens[idx]
        alt = self.renderInlineAsText(token.children, options, env).strip() or "Image"
        source = str(token.attrs["src"])
        text = f'<span class="image-alt">{escape(alt)}</span>'
        text += f' <span class="image-host">{escape(_host(source))}</span>'
        if token.meta["is_linked"]:
            return f'<span class="image-link">{text}</span>'
        return f'<a class="image-link" href="{escape(source)}">{text}</a>'

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table" tabindex="0" role="group" aria-label="Table"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f'<th scope="col"{_alignment(tokens[idx])}>'

    def td_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<td{_alignment(tokens[idx])}>"

    def ordered_list_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        start = tokens[idx].attrs.get("start")
        return "<ol>\n" if start is None else f'<ol start="{start}">\n'

    def bullet_list_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return "<ul>\n"

    def list_item_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        checked = tokens[idx].meta.get("checked")
        if checked is None:
            return "<li>"
        box, label = ("☑", "Done") if checked else ("☐", "To do")
        return f'<li class="task"><span class="task-box" role="img" aria-label="{label}">{box}</span> '

    def definition(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        return ""


def _shifted(tag: str) -> str:
    return f"h{min(int(tag[1:]) + HEADING_SHIFT, _LAST_HEADING)}"


def _code(content: str, info: str) -> str:
    """A code frame. The last line end belongs to the fence, not to the source."""
    source = content.removesuffix("\n")
    language, name = highlighting.language_of(info)
    shown = escape(name)
    return (
        f'<figure class="code" data-lang="{escape(language)}">'
        f'<figcaption class="code-head"><span class="code-lang">{shown}</span>'
        f'<button class="tool code-copy" type="button" data-copy="" aria-label="Copy the {shown} code">'
        "<span>Copy</span></button></figcaption>"
        f'<pre tabindex="0" aria-label="{shown} code"><code>{highlighting.highlight(source, language)}</code>'
        "</pre></figure>\n"
    )


def _math_source(source: str) -> str:
    return f'<code class="math-source math-broken">{escape(source, quote=False)}</code>'


def _alignment(token: Token) -> str:
    """Right-aligned columns hold figures; inline styles would need a laxer page policy."""
    style = str(token.attrs.get("style", ""))
    return {"text-align:right": ' class="num"', "text-align:center": ' class="mid"'}.get(style, "")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


_RENDERER: Any = _Renderer()
_OPTIONS = grammar.options()
