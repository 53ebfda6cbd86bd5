"""A worker's sign of life: one row, renewed each second by a thread and a connection of its own.

The database's clock decides when a lease has run out; this process's monotonic clock decides when to hold still. While
a renewal is overdue nothing is appended and no provider is called, because another worker may already own the work.
"""

import threading
import time
from collections.abc import Callable
from uuid import UUID

import psycopg
import structlog
from django.db import connections
from uuid6 import uuid7

from apps.routing.services import DEFAULT_QUEUE

LEASE_SECONDS = 4.0
RENEW_EVERY_SECONDS = 1.0
# Shorter than the lease: this worker stops before anybody may take its work.
FRESH_SECONDS = 3.0

# Options that Django takes out of the dictionary before libpq sees it.
_DJANGOS_OWN = frozenset({"pool", "server_side_binding", "prepare_threshold", "isolation_level", "assume_role"})

_REGISTER = """
INSERT INTO conversations_worker (id, name, slots, queue, lease_until)
VALUES (%(id)s, %(name)s, %(slots)s, %(queue)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until
"""
_RENEW = """
UPDATE conversations_worker SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE id = %(id)s
"""

log = structlog.get_logger(__name__)


class Lease:
    """Registers this process as a worker and keeps it alive.

    `on_reaped` is called, from the lease's thread, with the identity that was lost; by then a new one is registered.
    """

    def __init__(self, *, name: str, slots: int, on_reaped: Callable[[UUID], None], queue: str = DEFAULT_QUEUE) -> None:
        self._name = name
        self._slots = slots
        self._queue = queue
        self._on_reaped = on_reaped
        self._stop = threading.Event()
        self._last_success_began = -1e9
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self.worker_id: UUID = uuid7()
        self._registered = False

    @property
    def fresh(self) -> bool:
        """Whether this worker may append and call providers right now."""
        return time.monotonic() - self._last_success_began < FRESH_SECONDS

    def age_seconds(self) -> float:
        """Seconds since the last successful renewal began."""
        return time.monotonic() - self._last_success_began

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the renewals and remove the row, so that nobody waits for the lease to run out."""
        self._stop.set()
        self._thread.join(timeout=LEASE_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._tick(began)
            except Exception as error:
                # Whatever it is, a worker without this thread would never come back.
                log.warning("lease.renewal_failed", error=type(error).__name__)
                self._disconnect()
            self._stop.wait(max(0.05, RENEW_EVERY_SECONDS - (time.monotonic() - began)))
        try:
            self._connected().execute("DELETE FROM conversations_worker WHERE id = %s", [self.worker_id])
        except psycopg.Error:
            log.warning("lease.not_removed")  # it runs out by itself
        self._disconnect()

    def _tick(self, began: float) -> None:
        if self._registered:
            renewed = self._connected().execute(_RENEW, {"id": self.worker_id, "seconds": LEASE_SECONDS})
            if renewed.rowcount == 1:
                self._last_success_began = began
                return
            lost, self.worker_id, self._registered = self.worker_id, uuid7(), False
            self._last_success_began = -1e9
            log.warning("lease.reaped", worker_id=str(lost))
            self._on_reaped(lost)
            began = time.monotonic()
        self._connected().execute(
            _REGISTER,
            {
                "id": self.worker_id,
                "name": self._name,
                "slots": self._slots,
                "queue": self._queue,
                "seconds": LEASE_SECONDS,
            },
        )
        self._registered = True
        self._last_success_began = began
        log.info("lease.registered", worker_id=str(self.worker_id), worker=self._name, slots=self._slots)

    def _connected(self) -> "psycopg.Connection[tuple[object, ...]]":
        if self._connection is None or self._connection.closed:
            settings = connections["engine"].settings_dict
            options = {name: value for name, value in settings["OPTIONS"].items() if name not in _DJANGOS_OWN}
            self._connection = psycopg.connect(
                **options,
                host=settings["HOST"],
                port=settings["PORT"],
                user=settings["USER"],
                password=settings["PASSWORD"],
                dbname=settings["NAME"],
                autocommit=True,
            )
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
