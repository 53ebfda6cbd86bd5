"""What makes two calls the same call: everything that changes the answer, in one canonical form.

The tenant and the person stand in it too. They are a wall of their own besides: in the name of a Redis key, and as
columns behind row-level security.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson

from apps.routing.contracts import CacheScope, Candidate, Plan, Prompt

# Part of every key: raise it when what is stored, or what a key means, changes.
VERSION = 1


def owner_of(scope: CacheScope, user_id: UUID) -> UUID | None:
    """Whose entries a person meets; None stands for the whole workspace's."""
    return user_id if scope is CacheScope.OWN else None


def exact_key(tenant_id: UUID, owner_id: UUID | None, plan: Plan, prompt: Prompt) -> bytes | None:
    """SHA-256 over all of the call; None where such a call is never served from a cache."""
    if not _is_text(prompt):
        return None
    return _digest(tenant_id, owner_id, plan, prompt.parameters, messages=list(prompt.messages))


def context_key(
    tenant_id: UUID, owner_id: UUID | None, plan: Plan, prompt: Prompt, *, embedder: str, signature: str
) -> bytes | None:
    """SHA-256 over all of the call but its last question, which is compared by meaning.

    None where such a call is never served. Of that question its `signature` is in the key: what the guards demand to
    agree. `embedder` names the exact model behind the vectors, because those of two models do not compare.
    """
    if not _is_text(prompt) or prompt.messages[-1].get("role") != "user":
        return None
    last = {name: value for name, value in prompt.messages[-1].items() if name != "content"}
    messages = [*prompt.messages[:-1], last]
    return _digest(
        tenant_id, owner_id, plan, prompt.parameters, messages=messages, embedder=embedder, signature=signature
    )


def last_question(prompt: Prompt) -> str:
    """What a semantic look-up compares; empty where there is nothing to compare."""
    content = prompt.messages[-1].get("content") if prompt.messages else None
    return content if isinstance(content, str) else ""


def _is_text(prompt: Prompt) -> bool:
    """Pictures, files and tool calls stand as parts or further fields: such prompts are not looked up. Nor are those
    that ask how likely each token was, which is not kept."""
    return bool(prompt.messages and not prompt.parameters.get("logprobs")) and all(
        isinstance(message.get("content"), str) and not message.get("tool_calls") for message in prompt.messages
    )


def _digest(
    tenant_id: UUID, owner_id: UUID | None, plan: Plan, parameters: Mapping[str, Any], **rest: Any
) -> bytes | None:
    document = {
        "version": VERSION,
        "tenant": str(tenant_id),
        "owner": None if owner_id is None else str(owner_id),
        "model": plan.model,
        # Sorted: health and chance change the order from call to call, and not what may answer.
        "candidates": sorted(_facts(one) for one in plan.candidates),
        "parameters": dict(parameters),
        **rest,
    }
    try:
        return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).digest()
    except TypeError:  # not JSON: the attempt will say so
        return None


def _facts(candidate: Candidate) -> list[str]:
    """What of the catalogue changes the answer, or what it is worth: a new model, place or price makes a new key."""
    return [
        candidate.model,
        str(candidate.deployment_id),
        candidate.upstream_model,
        candidate.after or "",
        str(candidate.price.id),
        str(candidate.output_tokens_bound),
    ]
