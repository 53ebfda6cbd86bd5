"""A person's chats over REST, the same for a session, a token and a key; and nobody else's."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from django.test import Client

from apps.conversations.models import Conversation
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.scope import tenant_scope
from tests.conversations.conftest import Ask
from tests.conversations.doors.caller import Caller, problem
from tests.product import WebServer

CHATS = "/api/v1/conversations/"


@pytest.fixture(params=["session", "token", "key"])
def program(
    request: pytest.FixtureRequest,
    web: WebServer,
    alice: Principal,
    client_of: Callable[[Principal], Client],
    api_key_of: Callable[[Principal], str],
) -> Iterator[httpx.Client]:
    """Alice's program, with one kind of credential."""
    cookies, headers = {}, {}
    if request.param == "session":
        cookies = {"sessionid": str(client_of(alice).cookies["sessionid"].value), "csrftoken": "c" * 32}
        headers = {"X-CSRFToken": "c" * 32}
    else:
        credential = tokens.issue(alice).access if request.param == "token" else api_key_of(alice)
        headers = {"Authorization": f"Bearer {credential}"}
    with httpx.Client(base_url=web.url, cookies=cookies, headers=headers, timeout=10, trust_env=False) as client:
        yield client


def write_chats(principal: Principal, count: int) -> None:
    """Chats in pairs of equal age."""
    now = datetime.now(UTC)
    with tenant_scope(principal.tenant_id):
        Conversation.objects.bulk_create(
            Conversation(
                tenant_id=principal.tenant_id,
                user_id=principal.user_id,
                title=f"Chat {number}",
                last_activity_at=now - timedelta(minutes=number // 2),
            )
            for number in range(count)
        )


def test_chats_are_listed_latest_first(program: httpx.Client, alice: Principal, bob: Principal, ask: Ask) -> None:
    assert program.get(CHATS).json() == {"items": [], "next": None}
    ask(bob, "Bob's own")
    older, newer = ask(alice, "Older"), ask(alice, "Newer")
    page = program.get(CHATS).json()
    assert [(one["id"], one["title"]) for one in page["items"]] == [
        (str(newer.conversation_id), "Newer"),
        (str(older.conversation_id), "Older"),
    ]
    assert page["next"] is None


def test_pages_follow_each_other_without_gap_or_repeat(program: httpx.Client, alice: Principal) -> None:
    write_chats(alice, 65)
    sizes, titles, cursor = [], [], ""
    while cursor is not None:
        page = program.get(CHATS, params={"before": cursor}).json()
        sizes.append(len(page["items"]))
        titles += [one["title"] for one in page["items"]]
        cursor = page["next"]
    assert sizes == [30, 30, 5]
    assert sorted(titles, key=lambda title: int(title.split()[1])) == [f"Chat {number}" for number in range(65)]


def test_a_chat_is_read_renamed_deleted_and_restored(program: httpx.Client, alice: Principal, ask: Ask) -> None:
    path = f"{CHATS}{ask(alice, 'First title', 'quick', 'swift').conversation_id}/"
    head = program.get(path).json()
    assert (head["title"], head["models"]) == ("First title", ["quick", "swift"])
    renamed = program.patch(path, json={"title": "  Second \n title "})
    assert (renamed.status_code, renamed.json()["title"]) == (200, "Second title")
    told = program.patch(path, json={"instructions": " Be brief.\n"})
    assert (told.status_code, told.json()["instructions"], told.json()["title"]) == (200, "Be brief.", "Second title")
    for refused in ({"instructions": 7}, {"instructions": "x" * 8_001}, {"instructions": "", "title": 7}, {}):
        assert program.patch(path, json=refused).status_code == 400
    assert program.get(path).json()["instructions"] == "Be brief."
    deleted = program.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    problem(program.get(path), 404, "not_found")
    problem(program.delete(path), 404, "not_found")
    assert program.get(CHATS).json()["items"] == []
    restored = program.post(f"{path}restore/")
    assert (restored.status_code, restored.json()["title"]) == (200, "Second title")
    problem(program.post(f"{path}restore/"), 404, "not_found")


@pytest.mark.usefixtures("worker")
def test_messages_are_the_turns_with_their_answers(program: httpx.Client, alice: Principal, caller: Caller) -> None:
    conversation_id = caller.ask("quick", "swift", message="One?").events[0].data["conversation_id"]
    caller.ask("swift", message="Two?", conversation_id=conversation_id)
    page = program.get(f"{CHATS}{conversation_id}/messages/").json()
    assert [turn["message"] for turn in page["items"]] == ["One?", "Two?"]
    assert [[answer["lane"] for answer in turn["answers"]] for turn in page["items"]] == [[1, 2], [2]]
    assert all(answer["text"] for turn in page["items"] for answer in turn["answers"])
    assert page["next"] is None
    earlier = program.get(f"{CHATS}{conversation_id}/messages/", params={"before": 2}).json()
    assert [turn["message"] for turn in earlier["items"]] == ["One?"]


def test_what_is_somebody_elses_looks_like_nothing(
    program: httpx.Client, bob: Principal, mallory: Principal, ask: Ask
) -> None:
    for other in (bob, mallory):
        path = f"{CHATS}{ask(other, 'Private').conversation_id}/"
        nowhere = f"{CHATS}{uuid4()}/"
        for method, ending, body in (
            ("GET", "", None),
            ("GET", "messages/", None),
            ("PATCH", "", {"title": "Mine"}),
            ("DELETE", "", None),
            ("POST", "restore/", None),
        ):
            refused = problem(program.request(method, path + ending, json=body), 404, "not_found")
            assert refused == problem(program.request(method, nowhere + ending, json=body), 404, "not_found")
        with tenant_scope(other.tenant_id):
            kept = Conversation.objects.get(user_id=other.user_id)
            assert (kept.title, kept.deleted_at) == ("Private", None)


@pytest.mark.parametrize("cursor", ["x", "\x00", "AAAA", "A" * 32, "_" * 32, "é", "=" * 5, "A" * 10_000])
def test_a_cursor_of_nothing_is_refused(caller: Caller, cursor: str) -> None:
    refused = caller.http.get(CHATS, params={"before": cursor})
    if cursor == "A" * 32:
        assert refused.json() == {"items": [], "next": None}, "a well-formed cursor from before all time"
    else:
        assert list(problem(refused, 400, "invalid_message")["errors"]) == ["before"]


@pytest.mark.parametrize("before", ["", "x", "-1", "1.5", "²", "9" * 10, "\x00"])
def test_a_turn_number_that_is_none_is_refused(caller: Caller, alice: Principal, ask: Ask, before: str) -> None:
    path = f"{CHATS}{ask(alice).conversation_id}/messages/"
    assert list(problem(caller.http.get(path, params={"before": before}), 400)["errors"]) == ["before"]


@pytest.mark.parametrize("title", ["", " ", "x" * 201, "a\x07", None, 7, ["x"], {"title": "x"}])
def test_a_title_that_is_none_is_refused(caller: Caller, alice: Principal, ask: Ask, title: object) -> None:
    path = f"{CHATS}{ask(alice, 'Kept').conversation_id}/"
    assert list(problem(caller.http.patch(path, json={"title": title}), 400)["errors"]) == ["title"]
    assert caller.http.get(path).json()["title"] == "Kept"


def test_a_session_without_the_pages_token_changes_nothing(
    web: WebServer, alice: Principal, ask: Ask, client_of: Callable[[Principal], Client]
) -> None:
    path = f"{CHATS}{ask(alice, 'Kept').conversation_id}/"
    cookies = {"sessionid": str(client_of(alice).cookies["sessionid"].value)}
    with httpx.Client(base_url=web.url, cookies=cookies, timeout=10, trust_env=False) as client:
        problem(client.delete(path), 403, "csrf_failed")
        problem(client.post("/v1/chat/messages", json={"message": "x", "models": ["quick"]}), 403, "csrf_failed")
        assert client.get(path).json()["title"] == "Kept"
