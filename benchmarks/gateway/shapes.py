"""What is asked, and of which of the simulator's models. Every target gets the same bodies, byte for byte."""

from __future__ import annotations

import json
from dataclasses import dataclass

CHUNK_TOKENS = 1
MAX_TOKENS = 256

_SYSTEM = (
    "You answer questions about the house rules of a small library. Be brief and exact. "
    "When a rule does not say, say so, and name who could be asked instead."
)
_QUESTION = (
    "A reader has borrowed four books and two journals. The books were due on Monday, the journals a week before. "
    "She brings back three books and one journal today, Thursday, and asks whether she may keep the others until the "
    "end of the month, because she is writing a paper on the history of the printing press and nobody else has "
    "reserved them. The rules say: a loan runs four weeks; it may be renewed twice unless somebody waits; what is "
    "overdue by more than three days cannot be renewed at the desk; journals cannot be renewed at all; a fee of ten "
    "cents is due for each day and item after the third. What does she have to pay, what may she keep, and until when?"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of call. `chunks` and `chunk_ms` of a stream: how many, and how far apart; 0 = as fast as they go."""

    name: str
    tokens: int
    stream: bool = False
    chunk_ms: float = 0.0

    @property
    def model(self) -> str:
        """Under which name the simulator knows it, and every gateway offers it."""
        return f"bench-{self.name}"

    @property
    def options(self) -> str:
        """The answer's length in the simulator's grammar. No pace: that is the replay's."""
        return f"tps=0+ttft=0+tokens={self.tokens}+chunk={CHUNK_TOKENS}"

    @property
    def body(self) -> bytes:
        """The request."""
        asked = {
            "model": self.model,
            "messages": [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _QUESTION}],
            "max_tokens": MAX_TOKENS,
            "temperature": 0.2,
            **({"stream": True} if self.stream else {}),
        }
        return json.dumps(asked).encode()


# A usual short answer; a stream whose first chunk comes at once; streams at a provider's pace and as fast as they go.
ANSWER = Shape("answer", tokens=64)
FIRST = Shape("first", tokens=8, stream=True, chunk_ms=20)
PACED = Shape("paced", tokens=100, stream=True, chunk_ms=20)
BURST = Shape("burst", tokens=100, stream=True)
SHAPES = (ANSWER, FIRST, PACED, BURST)
