"""A reload in mid-stream shows all that was there, then goes on, in every lane."""

from tests.journeys.chat import Chat

LANES = ("brook", "creek", "delta")


def test_a_reload_shows_all_text_and_goes_on_in_every_lane(chat: Chat) -> None:
    chat.choose(*LANES)
    chat.ask("What stood on the third shelf?")
    chat.streams(*LANES)
    before = {slug: chat.words(slug) for slug in LANES}
    chat.page.reload()
    for slug, words in before.items():
        chat.page.wait_for_function(
            "([slug, least]) => document.querySelector(`.lane[data-model=${slug}] .prose`)"
            ".innerText.replace(/[^\\p{L}\\p{N}_]+/gu, '').length >= least",
            arg=[slug, len(words)],
        )
        assert chat.words(slug).startswith(words)
        assert chat.state(slug) == "streaming"
    chat.finished(*LANES)
    for slug, words in before.items():
        assert chat.words(slug).startswith(words)
        assert chat.words(slug) != words
    chat.shows_what_is_stored(*LANES)
