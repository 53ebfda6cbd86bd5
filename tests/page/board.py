"""The page's counterpart: real pages from Django, and a WebSocket whose every frame the test decides."""

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.contrib.staticfiles import finders
from django.test import Client
from playwright.sync_api import Page, Request, Route, WebSocketRoute
from uuid6 import uuid7

from apps.markdown import BlockClosed, BlockEvent, BlockStream
from chatproject.settings import CONTENT_SECURITY_POLICY

T = TypeVar("T")

# Installed in every page. Whatever came over its socket before a mark has been handled when the mark is; two frames of
# animation later it is painted, the view has followed, and what the page sent meanwhile goes out before the answer.
# The page itself never sees marks.
MARKS = """
window.WebSocket = class extends WebSocket {
    constructor(...given) {
        super(...given);
        this.addEventListener("message", event => {
            if (!event.data.startsWith('{"mark":')) return;
            event.stopImmediatePropagation();
            requestAnimationFrame(() => requestAnimationFrame(() => this.send(event.data)));
        });
    }
};
"""
PATIENCE_SECONDS = 20.0
ORIGIN = "http://127.0.0.1:7199"
TERMINAL = ("message.completed", "message.error")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY = "; ".join(f"{name} {' '.join(values)}" for name, values in CONTENT_SECURITY_POLICY["DIRECTIVES"].items())
COMPLETED: dict[str, Any] = {
    "state": "completed",
    "finish_reason": "stop",
    "usage": {"input_tokens": 52, "output_tokens": 231, "estimated": False},
    "cost": {"nanousd": 940_000, "usd": "0.00094"},
    "timings": {"queued_ms": 3, "first_token_ms": 710, "total_ms": 4800},
    "route": {"candidates": [{"simulated": True}]},
}


class Stream:
    """One generation's log. Every event is kept, so that it can be told again or out of order."""

    def __init__(self, generation_id: str, turn_id: str, conversation_id: str, lane: int, model: str) -> None:
        self.generation_id = generation_id
        self.model = model
        self.fence, self.seq = 1, -1
        self.log: list[dict[str, Any]] = []
        self._envelope = {
            "generation_id": generation_id,
            "turn_id": turn_id,
            "conversation_id": conversation_id,
            "lane": lane,
        }
        self._blocks = BlockStream()

    def write(self, type: str, **body: Any) -> list[dict[str, Any]]:
        """Append an event and what is derived from it; returns the frames in the order doors send them."""
        self.seq += 1
        if type in ("message.started", "message.restarted"):
            self._blocks = BlockStream()
        derived: list[BlockEvent] = []
        if type == "token.delta":
            derived = self._blocks.feed(body["text"])
        elif type in TERMINAL:
            derived = self._blocks.finish()
        frames = [self._frame(*_block(event)) for event in derived] + [self._frame(type, body)]
        self.log += frames
        return frames

    def begin_again(self) -> list[dict[str, Any]]:
        """Another worker takes over, under the next fence."""
        self.fence, self.seq = self.fence + 1, -1
        return self.write("message.started", fence=self.fence, keep=0)

    def after(self, last_id: str | None) -> list[dict[str, Any]]:
        """What a door replays of the present fence."""
        position = tuple(map(int, (last_id or "0-0").split("-")))
        own = [frame for frame in self.log if frame["id"].startswith(f"{self.fence}-")]
        return own if last_id is None else [one for one in own if tuple(map(int, one["id"].split("-"))) > position]

    def _frame(self, type: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"type": type, "id": f"{self.fence}-{self.seq}", "seq": self.seq, **self._envelope, **body}


def _block(event: BlockEvent) -> tuple[str, dict[str, Any]]:
    if isinstance(event, BlockClosed):
        return "block.html", {"index": event.index, "html": event.html}
    return "block.open", {"index": event.index, "kind": event.kind, "info": event.info, "start": event.start}


class Board:
    """Serves one browser page. `received` holds what its socket sent, `posted` what it asked of /v1/ by HTTP."""

    def __init__(self, page: Page, client: Client, models: dict[str, str], database: ThreadPoolExecutor) -> None:
        self.page = page
        self.models = models
        self.accepts = True
        self.opens_sockets = True
        self.sockets: list[WebSocketRoute] = []
        self.received: list[dict[str, Any]] = []
        self.posted: list[Request] = []
        self.answer_http: Callable[[Request], dict[str, Any] | None] = lambda _request: None
        self.streams: dict[str, Stream] = {}
        self.asked: list[Stream] = []
        self.complaints: list[str] = []
        self._marks = 0
        self._marks_back = 0
        self._client = client
        self._database = database
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.route(re.compile(re.escape(ORIGIN)), self._serve)
        page.route_web_socket(re.compile(r"ws://127\.0\.0\.1:7199/ws/chat/"), self._connect)
        page.add_init_script(MARKS)  # after the socket's stand-in, which it builds on

    def open(self, path: str = "/chat/") -> None:
        """Open a page and wait until its socket is ready (where sockets open at all)."""
        before = len(self.sockets)
        self.page.goto(ORIGIN + path)
        if self.opens_sockets:
            self.wait_until(lambda: len(self.sockets) > before)
            self.settle()

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Let the page go on until something holds here, at its counterpart."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert time.monotonic() < deadline, "the page never did it"
            self.page.wait_for_timeout(5)

    def settle(self) -> None:
        """Wait until the page has handled and painted all frames sent so far, and all it sent has arrived here.

        What it does later by a timer or a request is not waited for.
        """
        self._marks += 1
        number = self._marks
        self.sockets[-1].send(json.dumps({"mark": number}))
        self.wait_until(lambda: self._marks_back >= number)

    def ask(self, message: str) -> list[Stream]:
        """Type a question, send it, and return the streams of its lanes once the page knows them."""
        before = self.asked
        self.page.get_by_label("Message", exact=True).fill(message)
        self.page.keyboard.press("Enter")
        self.wait_until(lambda: self.asked is not before)
        self.page.wait_for_selector(".turn:last-child .lane[data-generation-id]")
        for stream in self.asked:
            self.tell(*stream.write("message.started", fence=1, keep=0))
        return self.asked

    def tell(self, *frames: dict[str, Any]) -> None:
        """Send frames to the page, over its newest socket, and wait until it has drawn them."""
        for frame in frames:
            self.sockets[-1].send(json.dumps(frame))
        self.settle()

    def write(self, stream: Stream, text: str, step: int = 7) -> None:
        """Stream a text in small pieces."""
        frames = [stream.write("token.delta", text=text[at : at + step]) for at in range(0, len(text), step)]
        self.tell(*(frame for group in frames for frame in group))

    def sent(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["type"] == type]

    def in_database(self, work: Callable[[], T]) -> T:
        """Playwright's event loop owns this thread, and Django refuses to ask a database beside one."""
        return self._database.submit(work).result()

    def _connect(self, socket: WebSocketRoute) -> None:
        if not self.opens_sockets:
            socket.close(code=1011)
            return
        self.sockets.append(socket)
        socket.on_message(lambda text: self._hear(socket, json.loads(text)))
        socket.send(json.dumps({"type": "ready", "tenant_id": "", "user_id": ""}))

    def _hear(self, socket: WebSocketRoute, message: dict[str, Any]) -> None:
        if "mark" in message:
            self._marks_back = message["mark"]
            return
        self.received.append(message)
        if message["type"] == "message.send" and self.accepts:
            socket.send(json.dumps(self.accept(message)))
        elif message["type"] == "subscribe" and message["stream"] in self.streams:
            for frame in self.streams[message["stream"]].after(message["after"]):
                socket.send(json.dumps(frame))

    def accept(self, message: dict[str, Any]) -> dict[str, Any]:
        """The frame that accepts a question; its streams are in `asked`."""
        conversation_id = message.get("conversation_id") or str(uuid7())
        turn_id = str(uuid7())
        self.asked = [
            Stream(str(uuid7()), turn_id, conversation_id, lane, model)
            for lane, model in enumerate(message["models"], start=1)
        ]
        self.streams |= {stream.generation_id: stream for stream in self.asked}
        generations = [
            {
                "generation_id": stream.generation_id,
                "message_id": str(uuid7()),
                "lane": lane,
                "model": stream.model,
                "model_name": self.models[stream.model],
                "hue": lane,
            }
            for lane, stream in enumerate(self.asked, start=1)
        ]
        return {
            "type": "message.accepted",
            "client_id": message.get("client_id"),
            "conversation_id": conversation_id,
            "turn_id": turn_id,
            "title": message["message"][:60],
            "created": not message.get("conversation_id"),
            "generations": generations,
        }

    def _serve(self, route: Route) -> None:
        request = route.request
        path = urlsplit(request.url).path
        if path.startswith("/static/"):
            self._serve_static(route, path.removeprefix("/static/"))
        elif path.startswith("/v1/"):
            self.posted.append(request)
            route.fulfill(**(self.answer_http(request) or {"status": 503, "body": ""}))
        else:
            status, headers, body = self.in_database(lambda: self._page(request))
            route.fulfill(status=status, headers=headers, body=body)

    def _serve_static(self, route: Route, name: str) -> None:
        found = finders.find(name)
        if not isinstance(found, str):
            route.fulfill(status=404)
            return
        suffix = "." + name.rsplit(".", 1)[-1]
        route.fulfill(path=found, content_type=TYPES.get(suffix, "application/octet-stream"))

    def _page(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(request.url)
        response = self._client.generic(
            request.method,
            f"{parts.path}?{parts.query}" if parts.query else parts.path,
            request.post_data or "",
            request.headers.get("content-type", "text/plain"),
            headers={name: value for name, value in request.headers.items() if name != "cookie"},
        )
        headers = {"Content-Type": response.headers.get("Content-Type", ""), "Content-Security-Policy": POLICY}
        return response.status_code, headers, response.content
