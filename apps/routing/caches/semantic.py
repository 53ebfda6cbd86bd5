"""Answers to questions of the same meaning, in PostgreSQL: nearest vectors among those whose whole context agrees.

The scan is exact. It reads the entries of one tenant, one owner and one context, which an index finds: the context
holds what the guards demand to agree, so few are left. An approximate index would have to filter by it afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connections
from uuid6 import uuid7

from apps.routing.caches.entry import Entry
from apps.routing.contracts import CacheRules
from apps.tenants.scope import tenant_scope

# Entries removed at one time, so that keeping an answer never takes long.
_AT_ONCE = 200

_OWNER = "(owner_id = %(owner)s OR (owner_id IS NULL AND %(owner)s::uuid IS NULL))"
_LOOK_UP = f"""
SELECT id, entry, 1 - (vector <=> %(vector)s::halfvec)
FROM routing_semanticanswer
WHERE tenant_id = %(tenant)s AND context = %(context)s AND {_OWNER}
  AND kept_at > clock_timestamp() - make_interval(secs => %(ttl)s)
ORDER BY vector <=> %(vector)s::halfvec LIMIT 1
"""  # noqa: S608 - constants of this module
_USED = """
UPDATE routing_semanticanswer SET last_used_at = clock_timestamp()
WHERE tenant_id = %s AND id = %s AND last_used_at < clock_timestamp() - interval '1 minute'
"""
_REPLACE = f"""
DELETE FROM routing_semanticanswer
WHERE tenant_id = %(tenant)s AND context = %(context)s AND question = %(question)s AND {_OWNER}
"""  # noqa: S608 - constants of this module
_KEEP = """
INSERT INTO routing_semanticanswer
    (id, tenant_id, owner_id, context, embedder, model, question, vector, entry, kept_at, last_used_at)
VALUES (%(id)s, %(tenant)s, %(owner)s, %(context)s, %(embedder)s, %(model)s, %(question)s, %(vector)s::halfvec,
        %(entry)s, clock_timestamp(), clock_timestamp())
"""
_TIDY = f"""
DELETE FROM routing_semanticanswer WHERE tenant_id = %(tenant)s AND id IN (
    (SELECT id FROM routing_semanticanswer
     WHERE tenant_id = %(tenant)s AND kept_at < clock_timestamp() - make_interval(secs => %(ttl)s) LIMIT {_AT_ONCE})
    UNION ALL
    (SELECT id FROM routing_semanticanswer WHERE tenant_id = %(tenant)s
     ORDER BY last_used_at DESC OFFSET %(most)s LIMIT {_AT_ONCE}))
"""  # noqa: S608 - constants of this module


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is looked for and kept: whose, in which context, by which embedder's vectors."""

    tenant_id: UUID
    owner_id: UUID | None
    context: bytes
    embedder: str
    question: str


def look_up(place: Place, vector: Sequence[float], rules: CacheRules) -> tuple[Entry, float] | None:
    """The answer to the most similar question in its place, and the similarity. One transaction."""
    with tenant_scope(place.tenant_id), connections["default"].cursor() as cursor:
        cursor.execute(
            _LOOK_UP,
            {
                "tenant": place.tenant_id,
                "owner": place.owner_id,
                "context": place.context,
                "vector": literal(vector),
                "ttl": rules.semantic_ttl_seconds,
            },
        )
        row = cursor.fetchone()
        # Asked this way round: of a vector of nothing but zeros the similarity is NaN, and below no threshold.
        if row is None or not row[2] >= rules.threshold or (entry := Entry.from_json(row[1])) is None:
            return None
        cursor.execute(_USED, [place.tenant_id, row[0]])
        return entry, min(1.0, row[2])


def keep(place: Place, vector: Sequence[float], entry: Entry, rules: CacheRules) -> None:
    """Store an answer, instead of an earlier one to the same words; remove what is too old or too much."""
    with tenant_scope(place.tenant_id), connections["default"].cursor() as cursor:
        row = {
            "id": uuid7(),
            "tenant": place.tenant_id,
            "owner": place.owner_id,
            "context": place.context,
            "embedder": place.embedder,
            "model": entry.model,
            "question": place.question,
            "vector": literal(vector),
            "entry": entry.to_json().decode(),
        }
        cursor.execute(_REPLACE, row)
        cursor.execute(_KEEP, row)
        cursor.execute(_TIDY, {"tenant": place.tenant_id, "ttl": rules.semantic_ttl_seconds, "most": rules.max_entries})


def literal(vector: Sequence[float]) -> str:
    """A vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.6g}" for value in vector) + "]"
