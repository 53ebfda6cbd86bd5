"""API keys that this process has looked up, by digest.

Refusals have their own map, so that guesses never evict keys.
"""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.tenants.contracts import Principal


@dataclass(frozen=True, slots=True)
class KnownKey:
    """What a look-up found: `principal` is None for a key that opens nothing."""

    principal: Principal | None
    expires_at: datetime | None = None

    def is_valid(self) -> bool:
        return self.principal is not None and (self.expires_at is None or self.expires_at > timezone.now())


class KnownKeys:
    """Safe for threads. `generation` rises whenever anything is forgotten: a look-up that began before is no news."""

    LIMIT = 10_000
    TTL_SECONDS = 2.0
    REFUSED_TTL_SECONDS = 1.0
    # For callers that hold the tenant's epoch against it.
    REMEMBERED_SECONDS = 30.0

    def __init__(self) -> None:
        self.generation = 0
        self._lock = threading.Lock()
        self._accepted: OrderedDict[bytes, tuple[float, KnownKey]] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[float, KnownKey]] = OrderedDict()
        self._looking: dict[bytes, float] = {}

    def get(self, digest: bytes) -> KnownKey | None:
        """What was looked up within the last seconds."""
        now = time.monotonic()
        with self._lock:
            for entries, ttl_seconds in (
                (self._accepted, self.TTL_SECONDS),
                (self._refused, self.REFUSED_TTL_SECONDS),
            ):
                at, known = entries.get(digest) or (0.0, None)
                if known is not None and now - at < ttl_seconds:
                    return known
        return None

    def remembered(self, digest: bytes) -> tuple[KnownKey | None, bool]:
        """An accepted key, and whether whoever asks should look it up again: one of all who ask, each few seconds."""
        now = time.monotonic()
        with self._lock:
            at, known = self._accepted.get(digest) or (0.0, None)
            if known is None or now - at >= self.REMEMBERED_SECONDS:
                return None, False
            stale = now - max(at, self._looking.get(digest, 0.0)) >= self.TTL_SECONDS
            if stale:
                self._looking[digest] = now
            return known, stale

    def put(self, digest: bytes, known: KnownKey, generation: int) -> KnownKey | None:
        """Remember what a look-up found that began at `generation`; None where it has to be made again."""
        entries = self._refused if known.principal is None else self._accepted
        with self._lock:
            if generation != self.generation:
                return None
            self._take_out(digest)
            entries[digest] = (time.monotonic(), known)
            if len(entries) > self.LIMIT:
                forgotten, _ = entries.popitem(last=False)
                self._looking.pop(forgotten, None)
        return known

    def drop(self, digest: bytes) -> None:
        """Forget one key."""
        with self._lock:
            self.generation += 1
            self._take_out(digest)

    def drop_tenant(self, tenant_id: UUID) -> None:
        """Forget a tenant's keys."""
        with self._lock:
            self.generation += 1
            for digest, (_, known) in list(self._accepted.items()):
                if known.principal is not None and known.principal.tenant_id == tenant_id:
                    self._take_out(digest)

    def _take_out(self, digest: bytes) -> None:
        self._accepted.pop(digest, None)
        self._refused.pop(digest, None)
        self._looking.pop(digest, None)


known_keys = KnownKeys()
