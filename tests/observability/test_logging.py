"""What log lines hold, and what they never hold."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal
from uuid import UUID

import pytest
import structlog

from apps.observability.context import bound
from apps.observability.lines import write
from apps.observability.logging import configure
from apps.observability.redaction import REDACTED, is_secret, redact, without_secrets
from apps.observability.timing import stage

Lines = Callable[[], list[dict[str, Any]]]
WORDS = "my grandmother's recipe"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    configure(level="INFO", format="json")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_an_event_is_one_line_of_json(lines: Lines) -> None:
    structlog.get_logger("apps.billing").info("admitted", calls=3, tenant_id=UUID(int=1))
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("admitted", "info", "apps.billing")
    assert (line["calls"], line["tenant_id"]) == (3, str(UUID(int=1)))
    assert line["timestamp"].endswith("Z")


def test_the_standard_librarys_events_look_the_same(lines: Lines) -> None:
    with bound(request_id="r-12345678"):
        logging.getLogger("django.request").warning("Not Found: %s", "/x", extra={"status_code": 404, "text": WORDS})
    (line,) = lines()
    assert (line["event"], line["request_id"], line["status_code"]) == ("Not Found: /x", "r-12345678", 404)
    assert WORDS not in json.dumps(line)


def test_a_line_of_the_hot_path_looks_the_same(lines: Lines) -> None:
    write("request", {"route": "/v1/chat/completions", "status": 200, "provider": "Zürich\u2028", "key": None})
    (line,) = lines()
    assert (line["event"], line["level"], line["logger"]) == ("request", "info", "switchboard.calls")
    assert (line["status"], line["provider"], line["key"]) == (200, "Zürich\u2028", None)
    assert line["timestamp"].endswith("Z")
    assert len(line["timestamp"]) == len("2026-11-21T00:00:00.000000Z")


def test_a_line_of_the_hot_path_is_there_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="INFO", format="console")
    write("request", {"route": "/v1/messages", "status": 429})
    told = without_colours(capsys.readouterr().err)
    assert "route=/v1/messages" in told
    assert "status=429" in told
    configure(level="WARNING", format="console")
    write("request", {"route": "/v1/messages", "status": 429})
    assert capsys.readouterr().err == ""


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_levels_hold(lines: Lines) -> None:
    structlog.get_logger("apps.x").debug("quiet")
    logging.getLogger("uvicorn.access").info("quiet")
    structlog.get_logger("apps.x").error("loud")
    assert [line["event"] for line in lines()] == ["loud"]


def test_context_is_bound_nests_and_ends(lines: Lines) -> None:
    log = structlog.get_logger("apps.x")
    with bound(request_id="outer", tenant_id=UUID(int=7)):
        with bound(request_id="inner", generation_id=None):
            log.info("one")
        log.info("two")
    log.info("three")
    one, two, three = lines()
    assert (one["request_id"], one["tenant_id"], two["request_id"]) == ("inner", str(UUID(int=7)), "outer")
    assert "generation_id" not in one and "request_id" not in three


@pytest.mark.parametrize("name", ["message", "text", "content", "prompt", "answer", "Messages"])
def test_what_people_said_is_dropped_at_any_depth(lines: Lines, name: str) -> None:
    structlog.get_logger("apps.x").info("sent", **{name: WORDS}, call={"model": "m", "parts": [{name: WORDS}]})
    (line,) = lines()
    assert WORDS not in json.dumps(line)
    assert line["call"] == {"model": "m", "parts": [{}]}


@pytest.mark.parametrize(
    "name",
    [
        *("password", "api_key", "apikey", "Authorization", "secret", "client_secret", "access_token", "cookie"),
        *("Set-Cookie", "SECRET_KEY", "vault_keys", "api_key_pepper", "database_dsn", "x-api-key", "private_key"),
        *("session_key", "csrftoken", "jwt", "token"),
    ],
)
def test_fields_named_like_secrets_are_blotted_out(lines: Lines, name: str) -> None:
    structlog.get_logger("apps.x").info("seen", **{name: "hunter2!"}, nested={"a": [{name: "hunter2!"}]})
    (line,) = lines()
    assert "hunter2!" not in json.dumps(line)
    assert line[name] == REDACTED == line["nested"]["a"][0][name]


@pytest.mark.parametrize(
    "name", ["api_key_id", "input_tokens", "max_tokens", "token_count", "keys", "tenant_id", "author"]
)
def test_fields_that_only_sound_alike_stay(name: str) -> None:
    assert not is_secret(name)
    assert redact(None, "info", {"event": "x", name: 5})[name] == 5


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Authorization: Bearer abcDEF123456._-", "abcDEF123456"),
        ("connecting to postgres://app:hunter2@db:5432/x", "hunter2"),
        ("redis://:hunter2@cache:6379/0 refused", "hunter2"),
        ("GET /v1/models?access_token=hunter2&page=2", "hunter2"),
        ("key sk-proj-AbCdEf0123456789xyz was refused", "AbCdEf0123456789xyz"),
        ("key sb_live_AbCdEf0123456789xyz was refused", "AbCdEf0123456789xyz"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIiOiIxIn0"),
    ],
)
def test_what_looks_like_a_secret_is_blotted_out(lines: Lines, text: str, hidden: str) -> None:
    assert hidden not in without_secrets(text) and REDACTED in without_secrets(text)
    logging.getLogger("library").warning("%s", text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        structlog.get_logger("apps.x").exception("failed")
    told = lines()
    assert len(told) == 2 and "RuntimeError" in told[1]["exception"]
    assert hidden not in json.dumps(told)


def test_ordinary_text_is_left_alone() -> None:
    for text in ("basic auth is off", "https://example.org/a?page=2", "took 3 s: ok", "a:b@c", "sk-1"):
        assert without_secrets(text) == text


@pytest.mark.parametrize("format", ["json", "console"])
def test_tracebacks_hold_no_local_variables(
    capsys: pytest.CaptureFixture[str], format: Literal["json", "console"]
) -> None:
    configure(level="INFO", format=format)

    def work(spoken: str) -> None:
        raise LookupError("nothing found")

    for log in (structlog.get_logger("apps.x"), logging.getLogger("library")):
        try:
            work(WORDS.upper())
        except LookupError:
            log.exception("failed")
    told = capsys.readouterr().err
    assert told.count("LookupError: nothing found") == 2
    assert WORDS.upper() not in told and "GRANDMOTHER" not in told


def test_odd_values_do_not_break_a_line(lines: Lines) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    structlog.get_logger("apps.x").info("odd", raw=b"\x00\x01", loop=loop, thing=object(), items={1, 2}, number=1.5)
    (line,) = lines()
    assert line["raw"] == "[2 bytes]" and "too deep" in json.dumps(line["loop"])


@pytest.mark.parametrize("forged", ['x\n{"event": "forged"}', "x\r\nforged", "\x1b[31mred", "a\u2028b", '"}', "\0"])
def test_no_text_forges_a_line(lines: Lines, forged: str) -> None:
    structlog.get_logger("apps.x").info("seen", name=forged, nested=[{forged: forged}])
    logging.getLogger("library").warning("of %s", forged)
    told = lines()
    assert len(told) == 2
    assert (told[0]["event"], told[0]["name"]) == ("seen", forged)


def test_the_console_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="INFO", format="console")
    structlog.get_logger("apps.x").info("admitted", calls=3, password="hunter2!")
    told = capsys.readouterr().err
    assert "admitted" in told and "hunter2!" not in told


def test_stages_tell_their_duration_and_outcome(lines: Lines) -> None:
    with stage("claim", slots=3):
        pass
    with pytest.raises(KeyError), stage("finish"):
        raise KeyError("x")
    claim, finish = lines()
    assert (claim["stage"], claim["outcome"], claim["slots"]) == ("claim", "ok", 3)
    assert 0 <= claim["duration_ms"] < 1000
    assert (finish["stage"], finish["outcome"]) == ("finish", "KeyError")
