"""Bounds and estimates of token counts, from bytes alone: no tokenizer runs on the hot path.

The bound. Every tokenizer in use for chat (byte-level BPE, SentencePiece with byte fallback) covers at least one byte
of UTF-8 with each token, so a text never has more tokens than bytes. What a provider's chat template adds around
each message (`<|im_start|>user` ... `<|im_end|>`, at most a dozen tokens) is covered by the JSON around it
(`{"role":"user","content":""}` has 28 bytes), and what it puts before all of them by a fixed allowance. So the size of
the messages as JSON, plus that allowance, is never below what a provider counts for text. Pictures are outside of it:
each has a fixed allowance, whatever its bytes.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from apps.routing.contracts import Usage

# A template's own preamble, such as a default system prompt or today's date.
TEMPLATE_TOKENS = 256
# What the models in use count for one picture at most, give or take: its size in pixels is not known here.
PICTURE_TOKENS = 4_096
# English prose has about four bytes per token, other text fewer.
_BYTES_PER_TOKEN = 4
# What an answer has, where only a guess is needed to compare models by.
_TYPICAL_OUTPUT_TOKENS = 600
# An answer in one piece that nobody waited for: how fast it was written where its model was never measured, and how
# much faster than the model's mean it may have been.
_UNMEASURED_TOKENS_PER_SECOND = 200.0
_FASTER_THAN_MEAN = 2.0
# Providers count a little differently, and think a little longer than they were told to. What is more than so many
# times what was set aside, and so many tokens, is no count.
_MOST_TIMES = 4
_MOST_MORE_TOKENS = 10_000
# Used where money was already spent and nobody told how much: rather a little too high than too low.
_BYTES_PER_RECEIVED_TOKEN = 3


def prompt_bytes(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> int:
    """Bytes of messages and tools as JSON, and an allowance for each picture: what `Call.prompt_bytes` wants."""
    size = len(orjson.dumps(messages)) + (len(orjson.dumps(tools)) if tools else 0)
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            size += sum(PICTURE_TOKENS - _inline_bytes(part) for part in content if part.get("type") == "image_url")
    return size


def _inline_bytes(part: Mapping[str, Any]) -> int:
    """Bytes of a picture that is in its own address."""
    held = part.get("image_url")
    url = str(held.get("url") if isinstance(held, Mapping) else held)
    return len(url) if url.startswith("data:") else 0


def input_bound(prompt_bytes: int, context_tokens: int) -> int:
    """The most input tokens the prompt can be charged for; more than the context does not fit in."""
    return min(prompt_bytes + TEMPLATE_TOKENS, context_tokens)


def likely_input(prompt_bytes: int) -> int:
    """About how many tokens the prompt has."""
    return -(-prompt_bytes // _BYTES_PER_TOKEN)


def likely_usage(prompt_bytes: int, max_output_tokens: int | None) -> Usage:
    """A guess to compare models by: the likely prompt, and an answer of common length where no shorter one is asked."""
    output_tokens = min(max_output_tokens or _TYPICAL_OUTPUT_TOKENS, _TYPICAL_OUTPUT_TOKENS)
    return Usage(likely_input(prompt_bytes), output_tokens, estimated=True)


def likely_output(received_bytes: int, deltas: int, output_tokens_bound: int) -> int:
    """Tokens of an answer whose provider told no usage: at least one per delta shown, at most what was reserved."""
    return min(max(deltas, -(-received_bytes // _BYTES_PER_RECEIVED_TOKEN)), output_tokens_bound)


def unheard_output(seconds: float, tokens_per_second: float | None, output_tokens_bound: int) -> int:
    """Tokens that a provider may have written, and charges, in so long a time of which nothing was shown: rather too
    many than too few, at most what was reserved. `tokens_per_second`: the model's mean, None where it is not known."""
    pace = _UNMEASURED_TOKENS_PER_SECOND if tokens_per_second is None else tokens_per_second * _FASTER_THAN_MEAN
    return min(math.ceil(max(0.0, seconds) * pace), output_tokens_bound)


def believed(told: Usage, input_tokens_bound: int, output_tokens_bound: int) -> Usage:
    """What a provider told it used, as far as it can be so: otherwise what was set aside, as an estimate."""
    most_input = input_tokens_bound * _MOST_TIMES + _MOST_MORE_TOKENS
    most_output = output_tokens_bound * _MOST_TIMES + _MOST_MORE_TOKENS
    if told.input_tokens <= most_input and told.output_tokens <= most_output:
        return told
    return Usage(
        min(told.input_tokens, input_tokens_bound), min(told.output_tokens, output_tokens_bound), estimated=True
    )
