"""A provider that keeps what it is sent, byte by byte, and answers with what it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

from apps.routing import services as routing
from apps.routing.contracts import NewPrice
from apps.routing.models import Provider


@dataclass(slots=True)
class Capture:
    """`bodies`: each request as it came, oldest first; `says`: the text of every answer."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    says: str = "Noted."

    @property
    def newest(self) -> dict[str, object]:
        return dict(json.loads(self.bodies[-1]))

    def newest_messages(self) -> bytes:
        """The messages of the newest request, cut out of its bytes."""
        body = self.bodies[-1]
        begin = body.index(b'"messages":') + len(b'"messages":')
        _, length = json.JSONDecoder().raw_decode(body[begin:].decode())
        return body[begin:].decode()[:length].encode()


@contextmanager
def capturing() -> Iterator[Capture]:
    """A server of its own on a free port, for as long as the block lasts."""
    capture = Capture()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            capture.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for event in (
                {"choices": [{"index": 0, "delta": {"content": capture.says}}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 4, "total_tokens": 24}},
            ):
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    capture.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield capture
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


@contextmanager
def keeping(*models: tuple[str, int, NewPrice]) -> Iterator[Capture]:
    """The same, offered to every tenant as these models: slug, window in tokens, price."""
    with capturing() as capture:
        for slug, context_tokens, price in models:
            provider_id = routing.add_provider(name=f"Keeper {slug} {uuid4()}", base_url=capture.url, key="any")
            routing.register_model(
                provider_id=provider_id,
                upstream_model=slug,
                price=price,
                slug=slug,
                context_tokens=context_tokens,
                max_output_tokens=2_000,
            )
        routing.invalidate()
        yield capture
    # Nobody else is to be sent to what answers no more.
    Provider.objects.using("engine").filter(base_url=capture.url).update(enabled=False)
    routing.invalidate()
