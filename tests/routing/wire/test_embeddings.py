"""What is asked for vectors, and how they are told."""

from typing import Any

import httpx
import openai
import orjson
import pytest
from hypothesis import given, settings

from apps.routing.contracts import Usage
from apps.routing.wire import embeddings
from apps.routing.wire.errors import WireError
from tests.routing.wire.bodies import ANY_JSON, with_something_odd

ASK: dict[str, Any] = {"model": "m", "input": "Hi"}
FULL = {"model": "m", "input": ["Hi", "é"], "dimensions": 3, "encoding_format": "base64", "user": "u"}
VECTORS = [[0.5, -0.25, 1.0], [0.0, 0.125, -1.0]]


@pytest.mark.parametrize(
    ("given_input", "inputs", "bound"),
    [
        ("Hi", ["Hi"], 4),
        (["Hi", "é"], ["Hi", "é"], 8),
        ([1, 2, 3], [[1, 2, 3]], 5),
        ([[1, 2], [3]], [[1, 2], [3]], 7),
    ],
)
def test_inputs(given_input: Any, inputs: Any, bound: int) -> None:
    asked = embeddings.read({**ASK, "input": given_input})
    assert (asked.inputs, asked.input_bound_tokens) == (inputs, bound)
    body = embeddings.upstream_body(asked, "m-1")
    assert body == {"model": "m-1", "input": inputs, "encoding_format": "float"}


def test_dimensions_are_passed_on() -> None:
    asked = embeddings.read(FULL)
    assert asked.packed and embeddings.upstream_body(asked, "m-1")["dimensions"] == 3


@pytest.mark.parametrize("encoding", ["float", None])
def test_the_official_client_reads_the_vectors(encoding: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        asked = embeddings.read(orjson.loads(request.content))
        return httpx.Response(200, json=embeddings.document(asked, VECTORS, Usage(7, 0)))

    http = httpx.Client(transport=httpx.MockTransport(answer))
    client = openai.OpenAI(api_key="k", base_url="http://x/v1", max_retries=0, http_client=http)
    # By itself it asks for base64.
    options = {"encoding_format": encoding} if encoding else {}
    told = client.embeddings.create(model="m", input=["a", "b"], **options)
    assert [list(one.embedding) for one in told.data] == VECTORS
    assert [one.index for one in told.data] == [0, 1]
    assert (told.usage.prompt_tokens, told.usage.total_tokens) == (7, 7)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": [""]}, "input.0"),
        ({"input": ["a", 1]}, "input.1"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [1, -1]}, "input"),
        ({"input": [[True]]}, "input.0"),
        ({"input": [[]]}, "input.0"),
        ({"input": "\ud800"}, "input"),
        ({"input": ["a"] * 2_049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"api_base": "http://x"}, "api_base"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(WireError) as raised:
        embeddings.read({**ASK, **changes})
    assert raised.value.param == param
    assert embeddings.error_document(raised.value)["error"]["param"] == param


def _reads_or_refuses(body: Any) -> None:
    try:
        asked = embeddings.read(body)
    except WireError as error:
        assert error.status == 400 and error.detail
    else:
        assert asked.inputs and asked.input_bound_tokens > 0
        orjson.dumps(embeddings.upstream_body(asked, "m"))


@given(ANY_JSON)
@settings(max_examples=20, deadline=None)
def test_any_json_is_read_or_refused(body: Any) -> None:
    _reads_or_refuses(body)
    _reads_or_refuses({**ASK, "input": body})


def test_anything_odd_in_any_place_is_read_or_refused() -> None:
    for body in with_something_odd(FULL):
        _reads_or_refuses(body)
