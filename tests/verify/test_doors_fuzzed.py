"""The two doors that no framework reads for us, under arbitrary input: WebSocket frames and resume positions.

Every wrong input gets one clear error in the door's own form, and no event of a stream is lost or told twice by it.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.conversations.edge.websocket import MAX_FRAME_BYTES
from tests.verify.inside import LAST_SEQ, Chat, Ground, Message, Told, doors

FUZZED = settings(
    max_examples=300,
    deadline=timedelta(seconds=8),
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@pytest.fixture(scope="module")
def ground(database: None) -> Iterator[Ground]:
    with doors() as ground:
        yield ground


ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates and NUL too
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
FRAMES = st.one_of(
    ANY_TEXT,
    st.binary(max_size=60),
    VALUES.map(json.dumps),
    VALUES.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.integers(1, 5000).map(lambda depth: "[" * depth),
    st.integers(1, 5000).map(lambda depth: '{"type":' * depth + "1" + "}" * depth),
    st.integers(MAX_FRAME_BYTES - 40, MAX_FRAME_BYTES + 40).map(lambda size: '{"type":"' + "x" * (size - 11) + '"}'),
)
IDS = st.uuids().map(str) | ANY_TEXT | VALUES
FIELDS = {
    "client_id": ANY_TEXT | st.just("x" * 300) | VALUES,
    "tenant_id": IDS,
    "conversation_id": st.none() | IDS,
    "message": ANY_TEXT | st.just("x" * (513 * 1024)) | VALUES,
    "models": st.lists(ANY_TEXT, max_size=10) | VALUES,
    "model": ANY_TEXT | VALUES,
    "render": st.just("html") | VALUES,
    "generation_id": IDS,
    "stream": IDS,
    "after": ANY_TEXT | st.just("1-1") | VALUES,
    "token": ANY_TEXT | VALUES,
}
KINDS = st.sampled_from(["message.send", "generation.cancel", "subscribe", "unsubscribe", "auth"]) | VALUES
MESSAGES = st.builds(lambda kind, fields: {**fields, "type": kind}, KINDS, st.fixed_dictionaries({}, optional=FIELDS))
TOKENS = st.one_of(
    ANY_TEXT,
    ANY_TEXT.map("sk-sb-".__add__),
    st.from_regex(r"\A[\w-]{1,20}\.[\w-]{1,20}\.[\w-]{0,20}\Z"),
    st.just("x" * 500_000),
)


def is_clear(error: Message) -> bool:
    """An `error` of this door, of the caller's making."""
    form = {"code": str, "message": str, "retryable": bool, "status": int}
    return (
        error["type"] == "error"
        and all(isinstance(error.get(name), kind) for name, kind in form.items())
        and 400 <= error["status"] < 500
        and len(error["message"]) > 8
    )


def is_object(frame: str | bytes) -> bool:
    sent = frame.encode("utf-8", "replace") if isinstance(frame, str) else frame
    try:
        return len(sent) <= MAX_FRAME_BYTES and isinstance(orjson.loads(sent), dict)
    except orjson.JSONDecodeError:
        return False


@pytest.fixture(scope="module")
def chat(ground: Ground) -> Iterator[Chat]:
    """A socket that follows the log that goes on."""
    chat = Chat(ground.product)

    async def begin() -> None:
        await chat.open(ground.secret)
        await chat.say(json.dumps({"type": "subscribe", "stream": str(ground.going_on)}))
        assert (await chat.hear())["type"] == "message.started"

    ground.product.run(begin())
    yield chat
    ground.product.run(chat.close())


async def answers_beside_a_stream(ground: Ground, chat: Chat, frame: str | bytes) -> list[Message]:
    """What a frame is answered with, while the stream tells one event more: exactly that one."""
    assert ground.log is not None
    ground.log.append("token.delta", {"text": "x"})
    expected = ground.log.last_id.seq
    answers, told = [], await chat.answers(frame)
    while True:
        for message in told:
            if message.get("generation_id") == str(ground.going_on) and "seq" in message:
                ground.seen.append(message["seq"])
            elif message["type"] != "conversation.changed":
                answers.append(message)
        if ground.seen and ground.seen[-1] >= expected:
            break
        told = [await chat.hear()]
    assert ground.seen == list(range(ground.seen[0], expected + 1)), "an event was lost or told twice"
    return answers


@FUZZED
@given(frame=FRAMES)
@example(frame="")
@example(frame=b"")
@example(frame=b"\xff\xfe")
@example(frame='{"type": "\\ud800"}')
@example(frame="\ud800")
@example(frame='{"a": NaN}')
@example(frame='{"a": 1e999}')
def test_any_frame_has_one_clear_answer(ground: Ground, chat: Chat, frame: str | bytes) -> None:
    answers = ground.product.run(answers_beside_a_stream(ground, chat, frame))
    assert len(answers) == 1 and is_clear(answers[0]), answers
    if not is_object(frame):
        assert answers[0]["code"] == "invalid_message"


@FUZZED
@given(message=MESSAGES)
def test_any_message_has_one_clear_answer(ground: Ground, chat: Chat, message: Message) -> None:
    answers = ground.product.run(answers_beside_a_stream(ground, chat, json.dumps(message)))
    if len(answers) == 1 and is_clear(answers[0]):
        return
    # What was right after all: a question to whichever model comes first, and leaving a stream that nobody follows.
    expected = {"message.send": ["message.accepted"], "unsubscribe": []}
    kind = message["type"] if isinstance(message["type"], str) else ""
    assert [answer["type"] for answer in answers] == expected.get(kind), answers


@FUZZED
@given(token=TOKENS)
@example(token="sk-sb-\x00")
@example(token="é.é.é")
def test_any_token_that_is_none_ends_the_socket(ground: Ground, token: str) -> None:
    async def sign_in() -> list[Message]:
        chat = Chat(ground.product)
        await chat.open()
        try:
            return await chat.answers(json.dumps({"type": "auth", "token": token}))
        finally:
            await chat.close()

    answers = ground.product.run(sign_in())
    assert is_clear(answers[0]), answers
    if is_object(json.dumps({"token": token})):
        assert answers[0]["status"] == 401
        assert answers[1:] == [{"type": "closed", "code": 4401}]
    else:  # half of a surrogate pair is no text, so this was no sign-in yet
        assert answers[0]["code"] == "invalid_message" and len(answers) == 1


@FUZZED
@given(frame=FRAMES)
def test_a_stranger_is_told_nothing_but_to_sign_in(ground: Ground, frame: str | bytes) -> None:
    async def knock() -> list[Message]:
        chat = Chat(ground.product)
        await chat.open()
        try:
            return await chat.answers(frame)
        finally:
            await chat.close()

    (answer,) = ground.product.run(knock())
    assert is_clear(answer)
    assert answer["code"] == ("unauthenticated" if is_object(frame) else "invalid_message")


LANE_ID = re.compile(r"([1-9][0-9]{0,14})-(0|[1-9][0-9]{0,14})")
HEADER_TEXT = st.text(st.characters(max_codepoint=255), max_size=40)
SHAPED = st.from_regex(re.compile(r"\A\d{0,17}-?\d{0,17}\Z", re.ASCII)) | st.from_regex(r"\A[0-9:,-]{0,30}\Z")
WELL_FORMED = st.builds("{}-{}".format, st.integers(1, 10**15 - 1), st.integers(0, 10**15 - 1))


def position(text: str) -> tuple[int, int] | None:
    found = LANE_ID.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else None


def cursor(text: str) -> dict[int, tuple[int, int]] | None:
    """The positions of a turn's cursor, read by other means than the door's; None for what is none."""
    positions: dict[int, tuple[int, int]] = {}
    for part in text.split(","):
        lane, colon, rest = part.partition(":")
        at = position(rest)
        well = bool(colon) and lane.isascii() and lane.isdigit() and lane[0] != "0" and len(lane) <= 4
        if not well or at is None or int(lane) <= max(positions, default=0):
            return None
        positions[int(lane)] = at
    return positions


def require_problem(told: Told) -> None:
    assert (told.status, told.content_type) == (400, "application/problem+json"), told
    body = json.loads(told.body)
    assert body["code"] == "invalid_message" and list(body["errors"]) == ["Last-Event-ID"], body


def resumed(ground: Ground, stream_id: UUID, text: str, in_query: bool) -> Told:
    path = f"/v1/chat/streams/{stream_id}"
    if in_query:
        return ground.get(path, f"last_event_id={quote(text.encode('utf-8', 'surrogatepass'))}")
    return ground.get(path, last_event_id=text)


@FUZZED
@given(text=HEADER_TEXT | SHAPED | WELL_FORMED, in_query=st.booleans())
@example(text="1-1\n", in_query=True)
@example(text="１-１", in_query=True)
@example(text="\ud800", in_query=True)
@example(text="1-" + "1" * 70_000, in_query=False)
def test_any_position_in_a_finished_answer(ground: Ground, text: str, in_query: bool) -> None:
    told = resumed(ground, ground.cancelled.generations[0].generation_id, text, in_query)
    at = position(text)
    if text and at is None:
        require_problem(told)
    elif at is not None and at >= (1, 1):
        assert (told.status, told.body) == (204, b"")
    else:
        assert (told.status, told.ids()) == (200, ["1-0", "1-1"])


@FUZZED
@given(
    text=HEADER_TEXT
    | SHAPED
    | st.lists(WELL_FORMED, min_size=1, max_size=3).map(
        lambda ids: ",".join(f"{lane}:{one}" for lane, one in enumerate(ids, 1))
    )
)
@example(text="1:1-1,1:1-2")
@example(text="2:1-1,1:1-2")
@example(text="1:1-1,")
@example(text=",".join(f"{lane}:1-1" for lane in range(1, 2000)))
def test_any_cursor_of_a_finished_turn(ground: Ground, text: str) -> None:
    told = resumed(ground, ground.cancelled.turn_id, text, in_query=False)
    positions = cursor(text) if len(text) <= 2000 else None
    if text and positions is None:
        require_problem(told)
    elif positions and all(positions.get(lane, (0, 0)) >= (1, 1) for lane in (1, 2)):
        assert (told.status, told.body) == (204, b"")
    else:
        unread = sum((positions or {}).get(lane, (0, 0)) < (1, 1) for lane in (1, 2))
        assert told.status == 200 and len(told.ids()) == 2 * unread


@FUZZED
@given(seqs=st.dictionaries(st.sampled_from([1, 2, 7]), st.integers(0, LAST_SEQ - 1), max_size=3))
def test_resuming_tells_exactly_what_was_not_seen(ground: Ground, seqs: dict[int, int]) -> None:
    text = ",".join(f"{lane}:1-{seq}" for lane, seq in sorted(seqs.items()))
    told = resumed(ground, ground.ended.turn_id, text, in_query=False)
    assert told.status == 200
    events = [json.loads(line) for line in re.findall(r"^data: (.*)$", told.body.decode(), re.MULTILINE)]
    for lane in (1, 2):
        seen = [event["seq"] for event in events if event["lane"] == lane]
        assert seen == list(range(seqs.get(lane, -1) + 1, LAST_SEQ + 1))
    assert cursor(told.ids()[-1]) == {
        **{lane: (1, seq) for lane, seq in seqs.items()},
        1: (1, LAST_SEQ),
        2: (1, LAST_SEQ),
    }
