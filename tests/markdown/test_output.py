"""The HTML that the page's styles and scripts rely on, construct by construct."""

import pytest

from apps.markdown import render

REL = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("", ""),
        ("a *b* **c** ~~d~~ `e<f`", "<p>a <em>b</em> <strong>c</strong> <s>d</s> <code>e&lt;f</code></p>"),
        ("# a\n## b\n#### c\n###### d", "<h3>a</h3>\n<h4>b</h4>\n<h6>c</h6>\n<h6>d</h6>"),
        ("a  \nb\nc", "<p>a<br>\nb\nc</p>"),
        ("***", "<hr>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>'),
        ("> a", "<blockquote>\n<p>a</p>\n</blockquote>"),
        ("Fish & chips &copy; <b>", "<p>Fish &amp; chips © &lt;b&gt;</p>"),
    ],
)
def test_plain_constructs(text: str, html: str) -> None:
    assert render(text) == html


def test_links_are_live_and_leak_nothing() -> None:
    assert render('[a](https://x.y "t")') == f'<p><a href="https://x.y" title="t" {REL}>a</a></p>'
    assert render("<mailto:a@b.c>") == f'<p><a href="mailto:a@b.c" {REL}>mailto:a@b.c</a></p>'


def test_bare_addresses_are_links_without_the_sentence_around_them() -> None:
    link = f'<a href="https://x.y/a_(b)?c=d" {REL}>https://x.y/a_(b)?c=d</a>'
    assert render("(see **https://x.y/a_(b)?c=d**).") == f"<p>(see <strong>{link}</strong>).</p>"
    assert render("`https://x.y` xhttps://x.y https://") == "<p><code>https://x.y</code> xhttps://x.y https://</p>"


@pytest.mark.parametrize("url", ["/a", "#a", "a.md", "//x.y", "javascript:a", "data:a", "ftp://x", "file:///e"])
def test_other_addresses_stay_text(url: str) -> None:
    assert render(f"[a]({url})") == f"<p>[a]({url})</p>"


def test_a_picture_is_a_link_that_names_its_host() -> None:
    text = '<span class="image-alt">chart</span> <span class="image-host">evil.example</span>'
    url = "https://evil.example/p.png?secret=1"
    assert render(f"![chart]({url})") == f'<p><a class="image-link" href="{url}" {REL}>{text}</a></p>'
    linked = f'<p><a href="https://x.y" {REL}><span class="image-link">{text}</span></a></p>'
    assert render(f"[![chart]({url})](https://x.y)") == linked


def test_tasks_show_their_state() -> None:
    assert render("- [x] a\n- [ ] b\n- c") == (
        '<ul>\n<li class="task"><span class="task-box" role="img" aria-label="Done">☑</span> a</li>\n'
        '<li class="task"><span class="task-box" role="img" aria-label="To do">☐</span> b</li>\n<li>c</li>\n</ul>'
    )


def test_a_table_scrolls_in_its_frame_and_aligns_by_class() -> None:
    assert render("| a | b | c |\n|---|--:|:-:|\n| 1 | 2 | `x\\|y` |") == (
        '<div class="table" tabindex="0" role="group" aria-label="Table"><table>\n'
        '<thead>\n<tr>\n<th scope="col">a</th>\n<th scope="col" class="num">b</th>\n'
        '<th scope="col" class="mid">c</th>\n</tr>\n</thead>\n'
        '<tbody>\n<tr>\n<td>1</td>\n<td class="num">2</td>\n<td class="mid"><code>x|y</code></td>\n'
        "</tr>\n</tbody>\n</table></div>"
    )


def test_code_names_its_language_and_can_be_copied() -> None:
    assert render("```py\nimport a\n\nx = 1  # <b>\n```") == (
        '<figure class="code" data-lang="python"><figcaption class="code-head">'
        '<span class="code-lang">Python</span>'
        '<button class="tool code-copy" type="button" data-copy="" aria-label="Copy the Python code">'
        "<span>Copy</span></button></figcaption>"
        '<pre tabindex="0" aria-label="Python code"><code><span class="kn">import</span> a\n\n'
        'x = <span class="mi">1</span>  <span class="c1"># &lt;b&gt;</span></code></pre></figure>'
    )


def test_raw_html_blocks_are_text() -> None:
    assert render("<div>\n*a*\n</div>") == "<p>&lt;div&gt;\n<em>a</em>\n&lt;/div&gt;</p>"
