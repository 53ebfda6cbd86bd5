"""The scope in which rows are visible, and the one way async code reaches the database.

Row-level security compares each row with `app.tenant_id`, which is set for one transaction only: a session-level
setting would travel with the connection to the pool's next borrower.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import ParamSpec, TypeVar
from uuid import UUID

import psycopg
from django.db import InterfaceError, OperationalError, connections, transaction

P = ParamSpec("P")
T = TypeVar("T")

# The database does not answer, or the connection broke: the same step may succeed later. A pool's timeout comes
# outside of Django's wrapping.
DATABASE_AWAY = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)

# Database steps of one process; more threads than pooled connections would only wait for one.
_DATABASE_THREADS = 12
_executor = ThreadPoolExecutor(_DATABASE_THREADS, thread_name_prefix="database")


@contextmanager
def tenant_scope(tenant_id: UUID, *, user_id: UUID | None = None, one_snapshot: bool = False) -> Iterator[None]:
    """One transaction in which the rows of `tenant_id` (and `user_id`'s own memberships) are visible.

    The outermost: entering it inside another transaction is an error, because a nested scope would leave the inner
    tenant set for the rest of the outer one. With `one_snapshot` every query inside reads the same instant.
    """
    with transaction.atomic(durable=True):
        with connections["default"].cursor() as cursor:
            if one_snapshot:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(
                "SELECT set_config('app.tenant_id', %s, true), set_config('app.user_id', %s, true)",
                [str(tenant_id), str(user_id) if user_id else ""],
            )
        yield


@contextmanager
def own_scope(user_id: UUID) -> Iterator[None]:
    """One transaction in which a person's own memberships and tenants are visible, and no tenant's rows."""
    with transaction.atomic(durable=True):
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT set_config('app.tenant_id', '', true), set_config('app.user_id', %s, true)",
                [str(user_id)],
            )
        yield


async def database_step(step: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run one synchronous database step off the event loop and give its connections back before returning.

    Cancelling the awaiting task does not undo a step that has begun.
    """

    def run() -> T:
        try:
            return step(*args, **kwargs)
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(_executor, lambda: context.run(run))
