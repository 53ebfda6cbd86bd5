"""How a stream goes on whose provider died in the middle.

A chat tells its readers that what they saw is void, and begins anew. A plain stream cannot take back what it sent: it
goes on from there where the next model continues a beginning it is given (prefill), else it listens to a whole new
answer and goes on only if that begins with what was sent. Words that do not meet are never joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from uuid import UUID

from apps.routing import tokens
from apps.routing.contracts import Candidate, Prompt, ReasoningDelta, TextDelta
from apps.routing.errors import StreamBroken
from apps.routing.providers.base import Delta

# What a model would refuse to have its answer begun for.
_THINKING = ("thinking", "reasoning", "reasoning_effort")
# A continuation shorter than this is not worth a call.
_LEAST_OUTPUT_TOKENS = 16


class Rescue(Enum):
    """What readers of a stream can be told: that all is void, or only more of the same."""

    RESTART = "restart"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True)
class Part:
    """What one attempt is asked for."""

    prompt: Prompt
    output_tokens_bound: int


class Anew:
    """Every attempt begins anew, and readers are told so."""

    may_restart = True
    parts: tuple[UUID, ...] = ()

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def begin(self, candidate: Candidate) -> Part:
        """What to ask the next candidate."""
        return Part(self._prompt, candidate.output_tokens_bound)

    def joined(self, delta: Delta) -> Sequence[Delta]:
        """What of the delta is new to the readers."""
        return (delta,)

    def ended(self) -> None:
        """The attempt is complete."""

    def broke_off(self, attempt_id: UUID) -> None:
        """The attempt failed."""


class Continuation(Anew):
    """What was sent so far, and how each further attempt's deltas join it."""

    may_restart = False

    def __init__(self, prompt: Prompt, set_aside_nanousd: int) -> None:
        super().__init__(prompt)
        self._set_aside_nanousd = set_aside_nanousd
        self._sent: list[str] = []
        self._reasoned = False
        self._acted = False
        self._awaited = ""
        self._silent_about_reasons = False
        self._sent_before = 0

    def begin(self, candidate: Candidate) -> Part:
        """What to ask the next candidate. Raises `StreamBroken` after a tool call: it may have been acted on."""
        if self._acted:
            raise StreamBroken
        self._silent_about_reasons = self._reasoned
        self._sent_before = len(self._sent)
        self._awaited = ""
        whole = Part(self._prompt, candidate.output_tokens_bound)
        if not self._sent:
            return whole
        sent = self._whole
        prefilled = self._prefilled(candidate)
        if prefilled is None:
            self._awaited = sent
            return whole
        # Providers refuse a beginning that ends in white space, so the model says that again.
        self._awaited = sent[len(sent.rstrip()) :]
        return prefilled

    def joined(self, delta: Delta) -> Sequence[Delta]:
        """What of the delta is new to the readers. Raises `StreamBroken` where the words do not meet."""
        if isinstance(delta, ReasoningDelta):
            self._reasoned = True
            return () if self._silent_about_reasons else (delta,)
        if not isinstance(delta, TextDelta):
            if self._awaited.strip():
                raise StreamBroken
            self._acted = True
            return (delta,)
        text = self._met(delta.text)
        if not text:
            return ()
        self._sent.append(text)
        return (delta,) if text == delta.text else (TextDelta(text),)

    def ended(self) -> None:
        """The attempt is complete. Raises `StreamBroken` where it said less than was sent."""
        if self._awaited.strip():
            raise StreamBroken

    def broke_off(self, attempt_id: UUID) -> None:
        """The attempt failed; what it added stays."""
        if len(self._sent) > self._sent_before:
            self.parts += (attempt_id,)

    @property
    def _whole(self) -> str:
        return "".join(self._sent)

    def _met(self, text: str) -> str:
        """What of the text follows the words that are awaited."""
        awaited = self._awaited
        if not awaited:
            return text
        pairs = enumerate(zip(awaited, text, strict=False))
        shared = next((place for place, (one, other) in pairs if one != other), min(len(awaited), len(text)))
        if shared < min(len(awaited), len(text)):
            # White space at the end of a beginning, models say again or leave out.
            if awaited.strip():
                raise StreamBroken
            self._awaited = ""
        else:
            self._awaited = awaited[shared:]
        return text[shared:]

    def _prefilled(self, candidate: Candidate) -> Part | None:
        """The prompt with the answer's beginning, and the output that fits into what was set aside; None where the
        candidate does not go on from a beginning, or too little fits."""
        beginning = self._whole.rstrip()
        if not candidate.prefill or not beginning or any(name in self._prompt.parameters for name in _THINKING):
            return None
        message = {"role": "assistant", "content": beginning}
        prompt = replace(self._prompt, messages=[*self._prompt.messages, message], prefilled=True)
        prompt_bytes = tokens.prompt_bytes(prompt.messages, prompt.parameters.get("tools") or ())
        input_bound = tokens.input_bound(prompt_bytes, candidate.context_tokens or candidate.input_tokens_bound)
        said = tokens.likely_output(len(self._whole.encode()), len(self._sent), candidate.output_tokens_bound)
        left_nanousd = self._set_aside_nanousd - candidate.price.amount_bound_nanousd(input_bound, 0)
        each_nanousd = candidate.price.amount_bound_nanousd(0, 1_000_000)
        affordable = candidate.output_tokens_bound if not each_nanousd else left_nanousd * 1_000_000 // each_nanousd
        output_bound = min(candidate.output_tokens_bound - said, affordable)
        return Part(prompt, output_bound) if output_bound >= _LEAST_OUTPUT_TOKENS else None
