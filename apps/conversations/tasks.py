"""Celery's door: a ring wakes a worker, which claims whatever is next. A ring carries nothing."""

import os
from typing import Any
from uuid import UUID

import structlog
from celery import shared_task
from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down
from django.db import connections

from apps.conversations import summaries
from apps.conversations.generation.runtime import Options, WorkerRuntime
from apps.conversations.ring import WAKE, ring
from apps.conversations.summaries import SUMMARISE
from apps.tenants.guard import refuse_unsafe_roles
from apps.tenants.scope import DATABASE_AWAY

log = structlog.get_logger(__name__)

_runtime: WorkerRuntime | None = None


@shared_task(name=WAKE, ignore_result=True)
def wake() -> None:
    """Claim one queued generation, if there is one and a slot for it."""
    if _runtime is None:
        raise RuntimeError("this process has no worker runtime; rings are for `celery worker` processes")
    try:
        _runtime.claim_one()
    except DATABASE_AWAY as error:
        log.warning("wake.failed", error=type(error).__name__)  # the poll comes back to the row
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()


@shared_task(name=SUMMARISE, ignore_result=True)
def summarise(tenant_id: str, user_id: str, generation_id: str) -> None:
    """Queue a summary of what a generation's window left out. A repeat finds it on its way, or made."""
    try:
        summaries.begin(UUID(tenant_id), UUID(user_id), UUID(generation_id))
    except DATABASE_AWAY as error:
        log.warning("summary.not_begun", error=type(error).__name__)  # the next question asks again
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()


@setup_logging.connect
def _keep_logging(**kwargs: Any) -> None:
    """A receiver is all it takes: without one Celery sets the root logger to its own level, and a worker's claims,
    attempts and ends are never logged."""


@worker_init.connect
def _start(**kwargs: Any) -> None:
    global _runtime
    try:
        refuse_unsafe_roles()
        runtime = WorkerRuntime(Options.from_settings(), ring=ring)
        runtime.start()
    except Exception as error:
        # Celery logs a receiver's exception and goes on: the process would swallow rings and answer nothing.
        log.critical("worker.refused", error=type(error).__name__, detail=str(error))
        raise SystemExit(1) from error
    _runtime = runtime
    log.info("worker.ready", pid=os.getpid())


@worker_shutting_down.connect
def _stop_claiming(**kwargs: Any) -> None:
    # Runs inside the signal handler: only set a flag.
    if _runtime is not None:
        _runtime.stopping.set()


@worker_shutdown.connect
def _leave(**kwargs: Any) -> None:
    if _runtime is not None:
        _runtime.drain()
