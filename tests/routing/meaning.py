"""Vectors for tests: words of content, hashed into a few places. What is about the same points the same way."""

import hashlib
import math
from uuid import UUID

from apps.routing.caches import guards, minilm
from apps.routing.models import CacheEvidence
from apps.routing.selectors import invalidate

_PLACES = 32


async def embed(text: str) -> list[float] | None:
    """Stands in for the model's forward pass, in the same place."""
    marks = guards.marks(text)
    if marks is None:
        return None
    vector = [0.01] * _PLACES
    for word in marks.content:
        vector[hashlib.sha256(word.encode()).digest()[0] % _PLACES] += 1
    length = math.sqrt(sum(value**2 for value in vector))
    return [value / length for value in vector]


def speak_for(tenant_id: UUID, threshold: float = 0.8, **fields: object) -> None:
    """Evidence of this tenant's own, so that no other test's tenant has any."""
    told = {"fingerprint": minilm.FINGERPRINT, "guards": guards.VERSION, "report": {}, "threshold": threshold, **fields}
    CacheEvidence.objects.using("engine").filter(tenant_id=tenant_id).delete()
    CacheEvidence.objects.using("engine").create(tenant_id=tenant_id, embedding_model=minilm.NAME, **told)
    invalidate(tenant_id)
