"""What the answer caches tell and are told: a tenant's rules, what a caller wants of them, and what a hit was."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class CacheScope(StrEnum):
    """Whose answers may be served to a person: their own, or those of everybody in the workspace."""

    OWN = "own"
    WORKSPACE = "workspace"


class CacheKind(StrEnum):
    """How the stored question agreed with the new one: byte for byte, or in its meaning."""

    EXACT = "exact"
    SEMANTIC = "semantic"


class CacheUse(StrEnum):
    """What a call wants of the caches: an answer from them if there is one; a new answer, which replaces the stored
    one; or to leave no trace in them."""

    USE = "use"
    BYPASS = "bypass"
    NO_STORE = "no_store"

    @classmethod
    def of_header(cls, cache_control: str) -> Self:
        """As HTTP says it."""
        directives = {part.strip().lower() for part in cache_control.split(",")}
        if "no-store" in directives:
            return cls("no_store")
        return cls("bypass" if "no-cache" in directives else "use")


@dataclass(frozen=True, slots=True)
class CacheRules:
    """A tenant's rules. Everything is off unless an administrator switched it on. Lifetimes in seconds.

    `threshold` is the least cosine similarity of a semantic hit, `max_entries` the most that its store holds.
    `embedder` is the fingerprint of what was measured and gives the vectors.
    """

    exact: bool = False
    exact_ttl_seconds: int = 3_600
    semantic: bool = False
    threshold: float = 0.9
    semantic_ttl_seconds: int = 604_800
    max_entries: int = 10_000
    scope: CacheScope = CacheScope.OWN
    embedding_model: str = ""
    embedder: str = ""

    @property
    def on(self) -> bool:
        return self.exact or self.semantic


NO_CACHES = CacheRules()


@dataclass(frozen=True, slots=True)
class CacheHit:
    """An answer that was served without asking a provider. `similarity` is 1.0 where it is exact.

    What it saved is what the first asking used, at the price now in force.
    """

    kind: CacheKind
    age_seconds: float
    similarity: float
    saved_nanousd: int
    saved_input_tokens: int
    saved_output_tokens: int
