"""What is typed and which models are chosen survive a reload."""

from playwright.sync_api import expect

from tests.journeys.chat import MESSAGE, Chat


def chosen(chat: Chat) -> list[str]:
    return chat.page.locator("#lineup [data-part=name]").all_inner_texts()


def test_text_and_models_of_a_new_chat_survive_a_reload(chat: Chat) -> None:
    chat.choose("brook", "brisk")
    chat.page.locator(MESSAGE).fill("Half a\nthought")
    chat.page.reload()
    expect(chat.page.locator(MESSAGE)).to_have_value("Half a\nthought")
    assert chosen(chat) == ["Brook", "Brisk"]


def test_text_and_models_survive_a_reload_while_answers_stream(chat: Chat) -> None:
    chat.choose("brook", "creek")
    chat.ask("Tell me about the mill")
    chat.streams("brook", "creek", words=5)
    chat.choose("creek", "delta")
    chat.page.locator(MESSAGE).press_sequentially("And then?")
    chat.page.reload()  # in the same breath
    expect(chat.page.locator(MESSAGE)).to_have_value("And then?")
    assert chosen(chat) == ["Creek", "Delta"]
    chat.streams("brook", "creek", words=5)
    chat.page.keyboard.press("Escape")
    chat.page.locator(MESSAGE).fill("")
    chat.page.reload()
    expect(chat.page.locator(MESSAGE)).to_have_value("")
