"""Token counts in the words of each dialect.

Ours: `input_tokens` holds everything that was read, of which `cached_tokens` and `cache_write_tokens` are parts that do
not overlap; `output_tokens` holds everything that was written, of which `reasoning_tokens` are a part.
"""

from collections.abc import Iterable
from typing import Any

from apps.routing.contracts import Usage


def together(usages: Iterable[Usage]) -> Usage:
    """The sum, as it is charged: each of several answers reads the prompt for itself."""
    many = list(usages)
    if len(many) == 1:
        return many[0]
    return Usage(
        input_tokens=sum(one.input_tokens for one in many),
        output_tokens=sum(one.output_tokens for one in many),
        cached_tokens=sum(one.cached_tokens for one in many),
        reasoning_tokens=sum(one.reasoning_tokens for one in many),
        estimated=any(one.estimated for one in many),
        cache_write_tokens=sum(one.cache_write_tokens for one in many),
    )


def openai_chat(usage: Usage) -> dict[str, Any]:
    """What was cached is part of the prompt, and thoughts are part of the completion."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def anthropic(usage: Usage) -> dict[str, Any]:
    """Parts that do not overlap: what was read from the cache or written to it is not in `input_tokens`."""
    return {**anthropic_end(usage), "service_tier": "standard"}


def anthropic_end(usage: Usage) -> dict[str, Any]:
    """The counts as they stand in the event of a message's end."""
    return {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def openai_responses(usage: Usage) -> dict[str, Any]:
    """As for chats, in other words."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
