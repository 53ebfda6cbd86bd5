"""Embeddings: deterministic unit vectors in which shared words mean nearness."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest

from tests.simulator.client import Client


async def vectors(simulator: Client, texts: list[str], **more: Any) -> list[Any]:
    status, _, body = await simulator.post("/v1/embeddings", {"model": "demo-embed", "input": texts, **more})
    assert status == 200, body
    assert [item["index"] for item in body["data"]] == list(range(len(texts)))
    return [item["embedding"] for item in body["data"]]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_vectors_have_384_dimensions_and_length_one(simulator: Client) -> None:
    [vector] = await vectors(simulator, ["a quiet harbour"])
    assert len(vector) == 384
    assert math.isclose(dot(vector, vector), 1.0, abs_tol=1e-9)


async def test_same_text_same_vector_and_shared_words_lie_close(simulator: Client) -> None:
    first, near, far = await vectors(
        simulator, ["the cat sat on the mat", "the cat lay on the mat", "quarterly revenue forecast"]
    )
    [again] = await vectors(simulator, ["the cat sat on the mat"])
    assert first == again
    assert dot(first, near) > 0.6
    assert abs(dot(first, far)) < 0.3


async def test_dimensions_and_base64(simulator: Client) -> None:
    [floats] = await vectors(simulator, ["hello"], dimensions=16)
    [packed] = await vectors(simulator, ["hello"], dimensions=16, encoding_format="base64")
    assert struct.unpack("<16f", base64.b64decode(packed)) == pytest.approx(floats, abs=1e-6)


async def test_usage_counts_the_input(simulator: Client) -> None:
    _, _, body = await simulator.post("/v1/embeddings", {"model": "demo-embed", "input": "one two three"})
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert body["object"] == "list"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"model": "bench"}, "model"),
    ],
)
async def test_bad_input_is_refused(simulator: Client, more: dict[str, Any], param: str) -> None:
    status, _, body = await simulator.post("/v1/embeddings", {"model": "demo-embed", "input": "x", **more})
    assert (status, body["error"]["param"]) == (400, param)
