"""A provider that plays a script: real sockets, and exactly the bytes and pauses a test wants on the wire."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# Bytes are sent, numbers are seconds to wait, None closes the connection.
Step = bytes | float | None
Script = Sequence[Step]
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Provider:
    """`requests` holds head and body of each request; `connections` how many connections were made, and are open.

    `script` may be changed between requests.
    """

    script: Script = ()
    base_url: str = ""
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0


@asynccontextmanager
async def provider(script: Script) -> AsyncIterator[Provider]:
    """Plays the script for every request of every connection."""
    played = Provider(script)

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.connections += 1
        played.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
                )
                played.requests.append(head + await reader.readexactly(length))
                for step in played.script:
                    if step is None:
                        return
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    else:
                        await asyncio.sleep(step)
                # The caller's hang-up ends the wait for another request.
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            played.open -= 1
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        played.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield played
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def event(text: str) -> bytes:
    return f"data: {text}\n\n".encode()


def text_event(text: str) -> bytes:
    return event(f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}')


FINISH = event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}')
USAGE = event('{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}')
DONE = event("[DONE]")
