"""Holes on purpose: each takes one wall away from the running product, and puts it back."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
from django.db.backends.utils import CursorWrapper
from django.db.models import Manager, QuerySet
from psycopg import sql

from apps.tenants.row_security import APP, CURRENT_TENANT

OWN = f"tenant_id = {CURRENT_TENANT}"

# What is done to a table -> how it is undone.
ON_TABLES = {
    "row-level security off": (
        "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
    ),
    "the owner not bound": ("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY", "ALTER TABLE {} FORCE ROW LEVEL SECURITY"),
    "a policy for everything": (f"CREATE POLICY hole ON {{}} TO {APP} USING (true)", "DROP POLICY hole ON {}"),
    "a policy for reading": (f"CREATE POLICY hole ON {{}} FOR SELECT TO {APP} USING (true)", "DROP POLICY hole ON {}"),
    "no policy": (
        "DROP POLICY tenant ON {}",
        f"CREATE POLICY tenant ON {{}} TO {APP} USING ({OWN}) WITH CHECK ({OWN})",
    ),
    "a policy that no value is compared with": (
        "ALTER POLICY tenant ON {} USING (tenant_id IS NOT NULL)",
        f"ALTER POLICY tenant ON {{}} USING ({OWN})",
    ),
}


@contextmanager
def on_table(admin: "psycopg.Connection[Any]", table: str, hole: str) -> Iterator[None]:
    done, undone = (sql.SQL(text).format(sql.Identifier(table)) for text in ON_TABLES[hole])
    admin.execute(done)
    try:
        yield
    finally:
        admin.execute(undone)


@contextmanager
def without_reference(admin: "psycopg.Connection[Any]", table: str, column: str) -> Iterator[None]:
    """The composite keys by which a column cannot point into another tenant."""
    found = admin.execute(
        "SELECT conname, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = conrelid "
        "AND a.attnum = ANY(conkey) WHERE contype = 'f' AND conrelid = %s::regclass AND a.attname = %s",
        [table, column],
    ).fetchall()
    assert found, f"{table}.{column} has no reference"
    for name, _ in found:
        admin.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(*map(sql.Identifier, (table, name))))
    try:
        yield
    finally:
        for name, definition in found:
            names = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} ").format(*map(sql.Identifier, (table, name)))
            admin.execute(names + sql.SQL(definition))


@contextmanager
def forgetful(*columns: str, within: str = "apps.", alias: str = "default") -> Iterator[None]:
    """Queries of these modules without their filters by these columns, as if nobody had written them."""
    originals = {name: getattr(QuerySet, name) for name in ("filter", "get")}

    def forgetting(name: str) -> Callable[..., Any]:
        def query(self: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
            if self.db == alias and _asked_within(within):
                kwargs = {key: value for key, value in kwargs.items() if key not in columns}
            return originals[name](self, *args, **kwargs)

        return query

    with patch.object(QuerySet, "filter", forgetting("filter")), patch.object(QuerySet, "get", forgetting("get")):
        yield


def _asked_within(module: str) -> bool:
    """Whether such a module of the product asks, past the frame's own; the test itself, which has no hole, does not."""
    if threading.current_thread() is threading.main_thread():
        return False
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("django."):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")).startswith(module)


@contextmanager
def crossing(within: str) -> Iterator[None]:
    """Modules that read as the role that crosses tenants, without a filter by tenant."""
    original = Manager.get_queryset

    def everywhere(self: Manager[Any]) -> QuerySet[Any]:
        rows = original(self)
        return rows.using("engine") if _asked_within(within) else rows

    with patch.object(Manager, "get_queryset", everywhere), forgetful("tenant_id", within=within, alias="engine"):
        yield


@contextmanager
def statement(old: str, new: str) -> Iterator[None]:
    """One piece of SQL replaced in every statement that holds it."""
    original, met = CursorWrapper.execute, []

    def execute(self: CursorWrapper, query: Any, params: Any = None) -> Any:
        if isinstance(query, str) and old in query:
            met.append(query)
            query = query.replace(old, new)
        return original(self, query, params)

    with patch.object(CursorWrapper, "execute", execute):
        yield
    assert met, f"no statement has {old!r}"
