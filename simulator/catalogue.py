"""The models on offer: voice, speed, price and limits of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from simulator.errors import UnknownModel

CREATED_UNIX = 1_763_596_800
_BENCH_MODEL = re.compile(r"bench(-[a-z0-9]+)*\Z")


@dataclass(frozen=True, slots=True)
class Model:
    """One model. Prices are US dollars per million tokens; 0 tokens per second means unpaced."""

    slug: str
    name: str
    description: str
    voice: str
    first_token_ms: float
    tokens_per_second: float
    chunk_tokens: int
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    context_tokens: int
    max_output_tokens: int
    is_reasoning: bool = False
    dimensions: int = 0
    is_moderation: bool = False

    @property
    def kind(self) -> str:
        if self.is_moderation:
            return "moderation"
        return "embedding" if self.dimensions else "chat"

    def facts(self) -> dict[str, Any]:
        """What `GET /v1/models` says of it beside the fields that the wire format asks for."""
        return {
            "name": self.name,
            "description": self.description,
            "input_usd_per_mtok": self.input_usd_per_mtok,
            "output_usd_per_mtok": self.output_usd_per_mtok,
            "context_tokens": self.context_tokens,
            "max_output_tokens": self.max_output_tokens,
            "reasoning": self.is_reasoning,
            "kind": self.kind,
        }


_ALL = (
    Model(
        "demo-swift", "Demo Swift", "Short, direct answers, almost at once. Simulated.",
        "swift", 140, 110, 2, 0.15, 0.60, 32_000, 4_096,
    ),
    Model(
        "demo-steady", "Demo Steady", "Ordered and thorough: headings, steps, tables. Simulated.",
        "steady", 380, 62, 2, 1.00, 4.00, 128_000, 8_192,
    ),
    Model(
        "demo-cedar", "Demo Cedar", "Thinks first and shows it, then answers briefly. Simulated.",
        "cedar", 260, 85, 2, 1.20, 6.00, 128_000, 16_384, is_reasoning=True,
    ),
    Model(
        "demo-harbor", "Demo Harbor", "Code first, talk second. Simulated.",
        "harbor", 300, 78, 2, 0.80, 3.20, 64_000, 8_192,
    ),
    Model(
        "demo-atlas", "Demo Atlas", "Long, careful answers that name their limits. Simulated.",
        "atlas", 720, 44, 1, 3.00, 15.00, 200_000, 16_384,
    ),
    Model(
        "demo-quill", "Demo Quill", "Prose you could send as it is. Simulated.",
        "quill", 420, 56, 1, 2.00, 8.00, 64_000, 8_192,
    ),
    Model(
        "demo-lark", "Demo Lark", "Ordered answers, over Anthropic's wire format. Simulated.",
        "steady", 240, 90, 2, 0.60, 3.00, 128_000, 8_192,
    ),
    Model(
        "demo-embed", "Demo Embed", "Deterministic unit vectors, 384 dimensions. Simulated.",
        "", 0, 0, 1, 0.02, 0.0, 8_192, 0, dimensions=384,
    ),
    Model(
        "demo-moderate", "Demo Moderate", "Scores by words, for moderation. Simulated.",
        "", 0, 0, 1, 0.05, 0.0, 32_000, 0, is_moderation=True,
    ),
    Model(
        "bench", "Bench", "Plain text as fast as possible, for measurements. Simulated.",
        "filler", 0, 0, 1, 0.10, 0.40, 1_000_000, 1_000_000,
    ),
)  # fmt: skip

MODELS: dict[str, Model] = {model.slug: model for model in _ALL}


def find(slug: str) -> Model:
    """The model of that name; `bench-a`, `bench-b` and so on are as many further benches as one likes.

    Raises UnknownModel.
    """
    model = MODELS.get(slug)
    if model is None and _BENCH_MODEL.match(slug):
        model = MODELS["bench"]
    if model is None:
        raise UnknownModel(slug)
    return model
