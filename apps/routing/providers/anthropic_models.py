"""What Anthropic's models differ in, by their names: the format is one, and what it may say is not."""

import re
from dataclasses import dataclass
from functools import lru_cache

_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)")
_ADAPTIVE_SINCE = (4, 6)
_NO_SAMPLING_SINCE = (4, 7)
_SCHEMAS_SINCE = (4, 5)
_NEWEST = (99, 0)


@dataclass(frozen=True, slots=True)
class Traits:
    """`adaptive`: it is told an effort to think with, not a budget of tokens. `samples`: it takes a temperature.
    `schemas`: it holds its answer to a JSON schema by itself."""

    adaptive: bool
    samples: bool
    schemas: bool


@lru_cache(maxsize=1024)
def traits(upstream_model: str) -> Traits:
    """What the model of that name takes. A name that is none of Anthropic's is asked in the format's oldest words."""
    name = upstream_model.lower()
    if "claude" not in name:
        return Traits(adaptive=False, samples=True, schemas=True)
    match = _VERSION.search(name)
    version = (int(match[1]), int(match[2] or 0)) if match else _NEWEST
    return Traits(
        adaptive=version >= _ADAPTIVE_SINCE, samples=version < _NO_SAMPLING_SINCE, schemas=version >= _SCHEMAS_SINCE
    )
