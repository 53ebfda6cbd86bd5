"""Bodies to try the readers with: requests with one thing wrong, and any JSON in any place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from apps.routing.wire.asked import Asked
from apps.routing.wire.errors import WireError

Read = Callable[[Any], Asked]

PICTURE = "data:image/png;base64,iVBORw0KGgo="
ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below, max_size=4),
    max_leaves=8,
)

ODD: Sequence[Any] = (
    None, True, 0, -1, 10**30, 0.5, float("nan"), float("inf"), "", "x", "\x00", "\ud800", "none", "x" * 300,
    [], {}, [None], [[]], [{}], [""], ["x"], {"": None}, {"type": "text"}, {"type": None}, {"type": []}, {"a": [{}]},
)  # fmt: skip


def refusal(read: Read, body: Any) -> WireError:
    """What is wrong with the body."""
    try:
        asked = read(body)
    except WireError as error:
        return error
    raise AssertionError(f"was read as {asked}")


def reads_or_refuses(read: Read, body: Any) -> None:
    """Anything but a `WireError` is a fault of ours."""
    try:
        asked = read(body)
    except WireError as error:
        assert error.status == 400 and error.detail
    else:
        assert asked.model and asked.prompt.messages and asked.prompt_bytes > 0


def with_something_odd(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The body with each odd value in each of its places, and without what is there: the same object each time."""
    body = deepcopy(body)
    for path in _places(body):
        holder, key = _holder(body, path), path[-1]
        kept = holder[key]
        for odd in ODD:
            holder[key] = odd
            yield body
        holder[key] = kept
        if isinstance(holder, dict):
            del holder[key]
            yield body
            holder[key] = kept


def _places(value: Any) -> list[tuple[Any, ...]]:
    """The path of everything inside of it."""
    inside: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    return [path for key, held in inside for path in [(key,), *((key, *below) for below in _places(held))]]


def _holder(body: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        body = body[key]
    return body
