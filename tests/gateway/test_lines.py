"""What the log is told of a request at the stateless doors."""

from typing import Any

import pytest

from apps.observability import lines
from apps.routing.edge.gateway.application import DOORS

PATH = "/v1/chat/completions"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("header", "trace"),
    [(f"00-{TRACE}-00f067aa0ba902b7-01", TRACE), (f"00-{TRACE}", None), ("00-x\r\n", None), (None, None)],
)
async def test_a_line_is_found_by_its_request_and_its_callers_trace(
    header: str | None, trace: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    sent: list[Any] = []
    monkeypatch.setattr(lines, "write", lambda event, fields: told.append((event, fields)))

    async def receive() -> Any:
        raise AssertionError("nothing is read of what is refused")

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-request-id", b"request-of-mine")]
    if header is not None:
        headers.append((b"traceparent", header.encode()))
    await DOORS[PATH]({"method": "GET", "path": PATH, "headers": headers}, receive, send)
    ((event, fields),) = told
    assert (event, fields["route"], fields["status"]) == ("request", PATH, 405)
    assert (fields["request_id"], fields.get("trace_id")) == ("request-of-mine", trace)
    assert dict(sent[0]["headers"])[b"x-request-id"] == b"request-of-mine"
