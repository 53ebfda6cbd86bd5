"""Every page can be read aloud and worked by keyboard: names, landmarks, visible focus, enough contrast."""

from typing import Any, Literal

from playwright.sync_api import Page, expect

from tests.journeys.chat import MESSAGE, Chat
from tests.journeys.conftest import BrowserOf, OpenTab

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# What is wrong with a page, in words; nothing for a good one.
FAULTS = """() => {
    const faults = [];
    const all = selector => [...document.querySelectorAll(selector)];
    const seen = one => one.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const named = one => {
        const by = (one.getAttribute("aria-labelledby") || "").split(" ").filter(Boolean);
        const texts = by.map(id => document.getElementById(id)?.textContent ?? "");
        const labels = [...(one.labels ?? [])].map(label => label.textContent);
        const own = one.matches("input, textarea, select") ? "" : one.innerText;
        return [one.getAttribute("aria-label"), own, ...texts, ...labels].some(text => (text || "").trim());
    };
    const told = one => one.outerHTML.slice(0, 120);
    for (const one of all("button, a[href], input:not([type=hidden]), textarea, select, [role=dialog], [role=group]")) {
        if (seen(one) && !named(one)) faults.push(`no name: ${told(one)}`);
    }
    for (const one of all("svg, img")) {
        if (seen(one) && !one.closest("[aria-hidden=true]") && !one.hasAttribute("aria-label") && !one.alt) {
            faults.push(`a picture without words: ${told(one)}`);
        }
    }
    const ids = all("[id]").map(one => one.id);
    for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push(`id twice: ${id}`);
    for (const one of all("[aria-labelledby], [aria-describedby], label[for]")) {
        const attribute = one.getAttribute("aria-labelledby") ?? one.getAttribute("aria-describedby") ?? one.htmlFor;
        const lost = attribute.split(" ").filter(id => !document.getElementById(id));
        if (lost.length) faults.push(`points nowhere: ${told(one)}`);
    }
    for (const name of ["nav", "aside"]) {
        const marks = all(name).filter(seen);
        if (marks.length > 1 && !marks.every(named)) faults.push(`${name} without a name`);
    }
    if (all("main").length !== 1) faults.push("not one main");
    if (all("h1").filter(seen).length !== 1) faults.push("not one h1");
    if (!document.documentElement.lang || !document.title.trim()) faults.push("no language or no title");
    if (/user-scalable=no|maximum-scale/.test(document.querySelector("meta[name=viewport]")?.content)) {
        faults.push("zooming is forbidden");
    }
    return faults;
}"""

# Visible texts whose contrast with what lies behind them is below 4.5, or 3 where they are large.
FAINT = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const over = (colour, [r, g, b]) => {
        canvas.fillStyle = `rgb(${r} ${g} ${b})`;
        canvas.fillRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const behind = one => {
        const layers = [];
        for (let at = one; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
        return layers.reduce((below, colour) => over(colour, below), [255, 255, 255]);
    };
    const light = rgb => {
        const [r, g, b] = rgb.map(v => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const faint = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const one = walker.currentNode.parentElement;
        const text = walker.currentNode.data.trim();
        if (!text || one.closest("script, template, .sr, .skip, :disabled")) continue;
        if (!one.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
        const style = getComputedStyle(one);
        const ground = behind(one);
        const [a, b] = [light(over(style.color, ground)), light(ground)].sort((x, y) => y - x);
        const size = parseFloat(style.fontSize);
        const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < least) faint.push(`${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
    }
    return [...new Set(faint)];
}"""

FOCUS = """() => {
    const one = document.activeElement;
    const style = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    // The message's field leaves it to the composer's border, which `window.resting` holds as it is without focus.
    const border = getComputedStyle(document.getElementById("composer")).borderColor;
    const isInside = one.closest("#composer") !== null;
    return {
        what: one.outerHTML.slice(0, 100),
        seen: box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight,
        ring: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 1) || (isInside && border !== resting),
    };
}"""


def checked(page: Page) -> None:
    assert page.evaluate(FAULTS) == []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert [scheme, *page.evaluate(FAINT)] == [scheme]


def test_pages_of_nobody_are_accessible(browser_of: BrowserOf, open_tab: OpenTab) -> None:
    tab = open_tab(browser_of())
    for path in ("/login/", "/signup/", "/no/such/page"):
        tab.open(path)
        checked(tab.page)


def test_pages_of_a_person_are_accessible(chat: Chat) -> None:
    checked(chat.page)
    chat.page.get_by_role("button", name="Add a model").click()
    checked(chat.page)
    chat.page.keyboard.press("Escape")
    chat.choose("coder", "refused", "endless")
    chat.ask("Write a Python class that keeps an LRU cache")
    chat.finished("coder")
    checked(chat.page)
    chat.page.keyboard.press("Escape")
    expect(chat.lane("endless")).to_have_attribute("data-state", "stopped")
    chat.lane("coder").get_by_role("button", name="Why this model").click()
    expect(chat.page.get_by_role("dialog")).to_be_visible()
    checked(chat.page)
    for path in ("/settings/keys/", "/account/sessions/", "/account/email/"):
        chat.open(path)
        checked(chat.page)


def test_every_control_is_reached_by_tab_with_visible_focus(chat: Chat) -> None:
    chat.choose("brisk", "coder")
    chat.ask("Write a Python class that keeps an LRU cache")
    chat.finished("brisk", "coder")
    page = chat.page
    page.reload()
    page.locator(MESSAGE).blur()
    chat.rested()  # no border takes its time here: movement is reduced
    page.evaluate("() => (window.resting = getComputedStyle(document.getElementById('composer')).borderColor)")
    page.evaluate("() => document.querySelector('.skip').focus()")
    reached: list[dict[str, Any]] = []
    for _step in range(90):
        reached.append(page.evaluate(FOCUS))
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
    assert reached[0]["what"].startswith('<a class="skip"')
    assert [one["what"] for one in reached if not (one["seen"] and one["ring"])] == []
    everything = " ".join(one["what"] for one in reached)
    for control in ("nav-new", 'class="chat"', "chat-more", 'popovertarget="account"', "code-copy", "copy-answer",
                    "add-model", "drop-model", 'id="message"', 'id="timeline"'):  # fmt: skip
        assert control in everything, control


def test_a_finished_answer_is_announced_once_and_not_by_the_word(chat: Chat) -> None:
    chat.choose("brisk", "brook")
    chat.page.evaluate(
        """() => {
            window.heard = [];
            const place = document.getElementById("announcer");
            new MutationObserver(() => heard.push(place.textContent)).observe(place, { childList: true });
        }"""
    )
    chat.ask("What burns on the pier?")
    chat.finished("brisk")
    expect(chat.page.locator("#announcer")).to_have_text("Answer from Brisk finished")
    chat.finished("brook")
    expect(chat.page.locator("#announcer")).to_have_text("Answer from Brook finished")
    assert chat.page.evaluate("heard") == ["Answer from Brisk finished", "Answer from Brook finished"]
    live = chat.page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    assert live.locator(".prose").count() == 0
    assert chat.page.locator("#announcer").get_attribute("aria-live") == "polite"
