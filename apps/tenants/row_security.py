"""Row-level security for a tenant's tables, as migration operations.

A table's migration calls `tenant_table` once, so that no table exists for a moment without its wall. Three roles:
the owner migrates (and, under FORCE, sees no row), `app` sees the rows of `app.tenant_id`, and `engine` sees every row
of the few tables it is given, for what crosses tenants by nature.
"""

from django.db.migrations import RunSQL
from django.db.migrations.operations.base import Operation

APP = "switchboard_app"
ENGINE = "switchboard_engine"

CURRENT_TENANT = "NULLIF(current_setting('app.tenant_id', true), '')::uuid"
CURRENT_USER = "NULLIF(current_setting('app.user_id', true), '')::uuid"


def tenant_table(
    table: str, *, app: str, engine: str | None = None, readable_without_tenant: bool = False
) -> list[Operation]:
    """Operations that put `table` (with columns `tenant_id` and `id`) behind the wall.

    `app` and `engine` are the privileges granted to each role, as GRANT spells them (`SELECT, UPDATE (state)`).
    `readable_without_tenant` lets `app` also read rows whose tenant is NULL: a catalogue offered to everybody.
    The unique key on (tenant_id, id) is what composite references point at.
    """
    own = f"tenant_id = {CURRENT_TENANT}"
    statements = [
        f"ALTER TABLE {table} ADD CONSTRAINT {table}_tenant_key UNIQUE (tenant_id, id)",
        *forced(table),
        f"CREATE POLICY tenant ON {table} TO {APP} USING ({own}) WITH CHECK ({own})",
        f"GRANT {app} ON {table} TO {APP}",
    ]
    if readable_without_tenant:
        statements.append(f"CREATE POLICY offered ON {table} FOR SELECT TO {APP} USING (tenant_id IS NULL)")
    if engine is not None:
        statements += engine_access(table, engine)
    return [RunSQL(tuple(statements), RunSQL.noop)]


def forced(table: str) -> list[str]:
    """Statements that bind every role, the owner included, to the table's policies."""
    return [f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY", f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"]


def engine_access(table: str, privileges: str) -> list[str]:
    """Statements that open every row of `table` to `engine`, for `privileges` alone."""
    return [
        f"CREATE POLICY engine ON {table} TO {ENGINE} USING (true) WITH CHECK (true)",
        f"GRANT {privileges} ON {table} TO {ENGINE}",
    ]


def tenant_reference(table: str, column: str, target: str) -> Operation:
    """A foreign key that cannot point into another tenant: (tenant_id, column) -> target (tenant_id, id).

    Foreign-key checks bypass row-level security, so a plain reference would accept a foreign tenant's id.
    """
    name = f"{table}_{column}_same_tenant"
    return RunSQL(
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (tenant_id, {column}) "
        f"REFERENCES {target} (tenant_id, id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    )
