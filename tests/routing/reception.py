"""One attempt through the adapter alone."""

import time
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import uuid4

from apps.routing.contracts import Deadlines, Prompt, ProviderAccess, TextDelta
from apps.routing.errors import ProviderFailed
from apps.routing.providers.base import Adapter, Delta, Progress, Request
from apps.routing.providers.openai_compatible import OpenAICompatible
from tests.routing.exchange import PATIENT, QUESTION

OPENAI_COMPATIBLE = OpenAICompatible()


@dataclass(slots=True)
class Reception:
    deltas: list[Delta] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    error: ProviderFailed | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas if isinstance(delta, TextDelta))


def request(
    base_url: str,
    model: str = "m",
    *,
    key: str | None = "sk-test",
    deadlines: Deadlines = PATIENT,
    bound: int = 4_096,
    prompt: Prompt | None = None,
) -> Request:
    prompt = prompt or Prompt([{"role": "user", "content": QUESTION}])
    return Request(uuid4(), ProviderAccess(base_url, key), "Sim", model, prompt, bound, deadlines)


async def receive(asked: Request, adapter: Adapter = OPENAI_COMPATIBLE) -> Reception:
    """Everything the adapter gives for the request, and how it ended."""
    reception = Reception()
    began = time.monotonic()
    try:
        async with aclosing(adapter.answer(asked, reception.progress)) as deltas:
            async for delta in deltas:
                reception.deltas.append(delta)
    except ProviderFailed as error:
        reception.error = error
    reception.seconds = time.monotonic() - began
    return reception
