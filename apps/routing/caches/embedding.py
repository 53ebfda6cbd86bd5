"""Vectors for look-ups, off the event loop, in a bounded queue: a look-up that would wait is a miss."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from apps.routing.caches import minilm

# More would only wait for one another: numpy and the interpreter share one core here.
_MOST_WAITING = 16
_executor = ThreadPoolExecutor(1, thread_name_prefix="embedding")
_places = threading.BoundedSemaphore(_MOST_WAITING)


async def embed(text: str) -> list[float] | None:
    """The text's vector; None where it is too long, or too many wait. Raises `minilm.NotInstalled`."""
    if not _places.acquire(blocking=False):
        return None
    try:
        work = _executor.submit(minilm.embed, [text])
    except BaseException:
        _places.release()
        raise
    work.add_done_callback(_leave)
    (vector,) = await asyncio.wrap_future(work)
    return vector


def _leave(_done: "Future[list[list[float] | None]]") -> None:
    _places.release()
