"""One tab's socket at /ws/chat/, or a program's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.conversations.doors.transcript import TERMINAL, Event, Transcript
from tests.product import WebServer

PATIENCE_SECONDS = 30.0
Message = dict[str, Any]


class ChatSocket:
    """An open socket. What comes while something else is waited for is kept in `passed`."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.passed: list[Message] = []

    def send(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def receive(self, timeout_seconds: float = PATIENCE_SECONDS) -> Message:
        """The next message. Raises `TimeoutError`, or `ConnectionClosed` with the server's code."""
        return dict(json.loads(self.connection.recv(timeout_seconds)))

    def wait_for(self, *types: str, **fields: Any) -> Message:
        """The next message of these types with these fields."""
        while True:
            message = self.receive()
            if message["type"] in types and fields.items() <= message.items():
                return message
            self.passed.append(message)

    def ask(self, *models: str, message: str = "Why do leases need fences?", **fields: Any) -> Message:
        """Ask a question; what `message.accepted` says."""
        client_id = fields.pop("client_id", str(uuid4()))
        self.send(type="message.send", client_id=client_id, message=message, models=list(models), **fields)
        return self.wait_for("message.accepted", client_id=client_id)

    def read_to_the_end(self, *generation_ids: str) -> Transcript:
        """The events of these generations, each to its end; other messages are kept in `passed`."""
        transcript = Transcript()
        left = set(generation_ids)
        for earlier in [one for one in self.passed if one.get("generation_id") in left and "seq" in one]:
            self.passed.remove(earlier)
            transcript.take(Event(earlier["type"], earlier))
            if earlier["type"] in TERMINAL:  # an end may be told before the door says that it asked for it
                left.discard(earlier["generation_id"])
        while left:
            message = self.receive()
            if message.get("generation_id") in left and "seq" in message:
                transcript.take(Event(message["type"], message))
                left -= {message["generation_id"]} if message["type"] in TERMINAL else set()
            else:
                self.passed.append(message)
        return transcript

    def is_open(self) -> bool:
        """Whether a ping is answered, with nothing but hints before the pong."""
        self.send(type="ping")
        return self.wait_for("pong") == {"type": "pong"}


@contextmanager
def opened(
    web: WebServer, *, session: str | None = None, token: str | None = None, origin: str | None = None
) -> Iterator[ChatSocket]:
    """A socket of the page's own origin; with a `token`, signed in by its first message."""
    headers = {"Cookie": f"sessionid={session}"} if session else {}
    with connect(
        web.socket_url,
        origin=Origin(origin or web.url),
        additional_headers=headers,
        max_size=None,
        open_timeout=10,
        proxy=None,
    ) as connection:
        chat = ChatSocket(connection)
        if token is not None:
            chat.send(type="auth", token=token)
            chat.wait_for("ready")
        yield chat


def lane_ids(accepted: Message) -> list[str]:
    """The generations of an accepted turn, by lane."""
    return [lane["generation_id"] for lane in accepted["generations"]]
