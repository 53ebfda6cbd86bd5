"""Drill 16: row-level-security fuzz. Every tenant's table x every command x another tenant or none, as role `app`.

Each denial stands beside its positive control: the same statement, in the right tenant's scope, must reach one row.
Twice: with the role's own grants, and with every grant, so that the wall alone is left to say no.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from chaos import rows
from chaos.cluster import Caller, Cluster
from chaos.drills.cancelling import cancel
from chaos.readers import Question, headers
from chaos.trial import Drill, Trial

APP = "switchboard_app"
TENANTS_OWN = "tenants_tenant"  # its id is the tenant
# Of these tables the role may write a part of a tenant's rows only; the drill takes one of that part.
WRITABLE_PART = {"billing_quota": "user_id IS NOT NULL"}
# Columns of which a row fills one at most.
ONE_OF = {"billing_quota": ("user_id", "team_id", "api_key_id")}
COMMANDS = ("SELECT", "INSERT", "UPDATE", "MOVE", "DELETE")


@dataclass(frozen=True, slots=True)
class Table:
    """A table with tenants' rows, and what the role may do with it now.

    `tenant_column` names the tenant; `unique` columns (with their types) differ in every copy of a row; `updatable` is
    a column that the role may write. `append_only`: a trigger refuses what changes or removes rows, everybody's.
    `one_each`: it holds one row for each tenant at most.
    """

    name: str
    tenant_column: str
    unique: dict[str, str]
    may: frozenset[str]
    updatable: str
    append_only: bool
    one_each: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One statement on a row of `owner`, in the scope of `scope` (None: no tenant at all)."""

    table: Table
    command: str
    owner: Caller
    scope: Caller | None
    other: Caller

    @property
    def is_control(self) -> bool:
        return self.scope is self.owner

    def __str__(self) -> str:
        scope = "its own tenant" if self.is_control else "another tenant" if self.scope else "no tenant"
        return f"{self.command} {self.table.name} as {scope}"


async def run(trial: Trial) -> None:
    await _rows_everywhere(trial)
    await trial.settle(readers_seconds=30)
    await asyncio.to_thread(_fill, trial)
    await _doors(trial)
    await asyncio.to_thread(_fuzz, trial)


async def _rows_everywhere(trial: Trial) -> None:
    """Use the product as both tenants, then give each what using it did not make."""
    crowd = trial.crowd
    await crowd.ask_many(4, "short")
    blocked = await crowd.ask_many(2, "blocker")
    await asyncio.gather(*(cancel(trial, id) for question in blocked for id in question.lanes))
    for caller in trial.cluster.callers:
        for table in ("routing_provider", "routing_languagemodel", "routing_deployment", "routing_price"):
            row = trial.cluster.value(f"SELECT to_jsonb(r) FROM {table} r WHERE tenant_id IS NULL LIMIT 1")
            row |= {"id": str(uuid4()), "tenant_id": str(caller.tenant_id)}
            if table == "routing_deployment":
                row["upstream_model"] = f"{caller.tenant_id}"
            _insert(trial.cluster.admin, table, row)
        quota = {"id": str(uuid4()), "tenant_id": str(caller.tenant_id), "user_id": str(caller.user_id)}
        _insert(trial.cluster.admin, "billing_quota", quota)


def _fill(trial: Trial) -> None:
    """Rows where neither the product nor `_rows_everywhere` made any: no table is left out."""
    for caller in trial.cluster.callers:
        filled = rows.fill(trial.cluster.admin, caller.tenant_id, caller.user_id, f"drill-{caller.user_id}")
        trial.figure("tables filled by hand", len(filled))


async def _doors(trial: Trial) -> None:
    """The same wall from outside: another tenant's key finds nothing under a known id."""
    first, second = trial.cluster.callers
    url = trial.cluster.web_urls[0]
    for question in trial.crowd.questions:
        stranger = second if question.caller is first else first
        for caller, wanted in ((question.caller, {200}), (stranger, {404})):
            for address in _addresses(question):
                async with trial.crowd.session.get(f"{url}{address}", headers=headers(caller)) as response:
                    if response.status not in wanted:
                        trial.fail("wall", f"GET {address} answers {response.status}, not {wanted}")


def _addresses(question: Question) -> Iterator[str]:
    yield f"/v1/chat/streams/{question.turn_id}"
    yield f"/api/v1/conversations/{question.conversation_id}/"
    for generation_id in question.lanes:
        yield f"/v1/chat/streams/{generation_id}"


def _fuzz(trial: Trial) -> None:
    cluster = trial.cluster
    seen: Counter[str] = Counter()
    with psycopg.connect(cluster.env["DATABASE_URL"]) as app:
        for granted in ("with its own grants", "with every grant"):
            for case in _cases(list(_tables(cluster)), cluster.callers):
                expected = _expected(case)
                seen["controls" if expected == 1 else "denials"] += 1
                reached = _reached(cluster, app, case)
                if reached != expected:
                    code = "control" if expected == 1 else "wall"
                    trial.fail(code, f"{case}, {granted}: reached {reached}, not {expected}")
            for table in _tables(cluster):
                cluster.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table.name} TO {APP}")
    trial.figure("tables", len(list(_tables(cluster))))
    trial.figure("controls", seen["controls"])
    trial.figure("denials", seen["denials"])


def _expected(case: Case) -> int | str:
    """Rows reached, or who refuses: the role's grants, the wall, or a trigger."""
    if case.command not in case.table.may:
        return "grant"
    if case.table.append_only and case.command in ("UPDATE", "MOVE", "DELETE"):
        return "trigger"
    if case.command == "MOVE":
        return "policy"
    if case.is_control:
        return 1
    return "policy" if case.command == "INSERT" else 0


def _tables(cluster: Cluster) -> Iterator[Table]:
    """Every table that holds tenants' rows."""
    for name in [*rows.tenant_tables(cluster.admin), TENANTS_OWN]:
        tenant_column = "id" if name == TENANTS_OWN else "tenant_id"
        columns = cluster.rows(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod), "
            "has_column_privilege(%s, a.attrelid, a.attnum, 'UPDATE'), "
            "EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique "
            "AND (a.attnum = ANY(i.indkey) OR EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = i.indexrelid "
            "AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum))) FROM pg_attribute a "
            "WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped",
            APP,
            name,
        )
        updatable = [column for column, _, may_update, _ in columns if may_update]
        may = {
            command
            for command in ("SELECT", "INSERT", "DELETE")
            if cluster.value("SELECT has_table_privilege(%s, %s, %s)", APP, name, command)
        }
        may |= {"UPDATE"} if updatable else set()
        may |= {"MOVE"} if tenant_column in updatable else set()
        unique = {column: kind for column, kind, _, is_unique in columns if is_unique and column != tenant_column}
        append_only = cluster.value(
            "SELECT EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE t.tgrelid = %s::regclass AND p.proname LIKE '%%append_only')",
            name,
        )
        one_each = name != TENANTS_OWN and cluster.value(
            "SELECT EXISTS (SELECT 1 FROM pg_index i "
            "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] "
            "WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indnatts = 1 AND i.indpred IS NULL "
            "AND a.attname = %s)",
            name,
            tenant_column,
        )
        column = updatable[0] if updatable else tenant_column
        yield Table(name, tenant_column, unique, frozenset(may), column, append_only, bool(one_each))


def _cases(tables: list[Table], callers: list[Caller]) -> Iterator[Case]:
    for table in tables:
        for owner, other in (callers, callers[::-1]):
            for command in COMMANDS:
                for scope in (owner, other, None):
                    # One's own row cannot be moved away either; the tenant's own table has nothing to move.
                    if not (command == "MOVE" and (scope is not owner or table.name == TENANTS_OWN)):
                        yield Case(table, command, owner, scope, other)


def _reached(cluster: Cluster, app: "psycopg.Connection[Any]", case: Case) -> int | str:
    """Run the statement in a transaction that is rolled back: rows reached, or who refused."""
    row = cluster.value(
        f"SELECT to_jsonb(r) FROM {case.table.name} r WHERE {case.table.tenant_column} = %s "
        f"AND {WRITABLE_PART.get(case.table.name, 'true')} LIMIT 1",
        case.owner.tenant_id,
    )
    scope = None if case.scope is None else str(case.scope.tenant_id)
    copy = _copy(case.table, row)
    if case.table.name == TENANTS_OWN and case.command == "INSERT" and case.is_control:
        scope = copy["id"]  # a new tenant is written in its own scope
    try:
        if scope is not None:
            app.execute("SELECT set_config('app.tenant_id', %s, true)", [scope])
        if case.command == "INSERT":
            once_by = case.table.tenant_column if case.table.one_each else ""
            return _insert(app, case.table.name, copy, once_by=once_by)
        return app.execute(_statement(case, row["id"])).rowcount
    except psycopg.errors.InsufficientPrivilege as error:
        return "policy" if "row-level security" in str(error) else "trigger" if error.diag.context else "grant"
    finally:
        app.rollback()


def _statement(case: Case, row_id: str) -> sql.Composed:
    table = sql.Identifier(case.table.name)
    where = sql.SQL("WHERE id = {}").format(row_id)
    match case.command:
        case "SELECT":
            return sql.SQL("SELECT id FROM {} {}").format(table, where)
        case "UPDATE":
            return sql.SQL("UPDATE {0} SET {1} = {1} {2}").format(table, sql.Identifier(case.table.updatable), where)
        case "MOVE":
            column, target = sql.Identifier(case.table.tenant_column), str(case.other.tenant_id)
            return sql.SQL("UPDATE {} SET {} = {} {}").format(table, column, target, where)
        case _:
            return sql.SQL("DELETE FROM {} {}").format(table, where)


def _copy(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The row once more, with new values where they must be unique."""
    copy = dict(row)
    for column, kind in table.unique.items():
        if copy[column] is None and column in ONE_OF.get(table.name, ()):
            continue
        if kind == "uuid":
            copy[column] = str(uuid4())
        elif kind in ("integer", "bigint", "smallint"):
            copy[column] = int(copy[column]) + 10_000
        elif kind == "bytea":
            copy[column] = f"\\x{uuid4().hex}{uuid4().hex}"
        elif kind.startswith("character"):
            width = re.search(r"\d+", kind)
            copy[column] = uuid4().hex[: min(20, int(width[0])) if width else 20]
    if table.name == TENANTS_OWN:
        copy["id"] = str(uuid4())
    return copy


def _insert(connection: "psycopg.Connection[Any]", name: str, row: dict[str, Any], *, once_by: str = "") -> int:
    """`once_by`: the column that a table holds one row for. A second one is written over the first, as its app does;
    the wall is asked before the conflict is looked for."""
    statement = sql.SQL("INSERT INTO {0} SELECT * FROM jsonb_populate_record(NULL::{0}, {1})").format(
        sql.Identifier(name), Jsonb(row)
    )
    if once_by:
        statement += sql.SQL(" ON CONFLICT ({0}) DO UPDATE SET {0} = excluded.{0}").format(sql.Identifier(once_by))
    return connection.execute(statement).rowcount


DRILLS = (Drill("16", "row-level-security fuzz", run, mutations=("wall-off",)),)
