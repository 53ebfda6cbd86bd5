"""The database's own wall, tried at each table by itself.

Doors filter by tenant too, so that no answer of theirs would show that one table's wall has gone. Here nothing stands
between the role that serves and the rows.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from django.apps import apps
from django.db import ProgrammingError, connections, transaction
from django.db.models import ForeignKey
from psycopg import sql

from apps.tenants.scope import tenant_scope
from chaos import rows
from tests.isolation.product import give_back_connections
from tests.isolation.world import Side


class Undo(Exception):
    """Ends a transaction that was only a try."""


@contextmanager
def tried() -> Iterator[None]:
    """What happens inside is never kept."""
    try:
        yield
    except Undo:
        pass
    finally:
        give_back_connections()


def tables(*sides: Side) -> list[str]:
    """Every table whose rows belong to tenants; each side has one in each, whatever it has lost before."""
    for side in sides:
        rows.fill(side.admin, side.principal.tenant_id, side.principal.user_id, side.canary)
    return rows.tenant_tables(sides[0].admin)


def references() -> list[tuple[str, str, str]]:
    """(table, column, target) of what points from a tenant's row to another of its rows, as the models say.

    Where the target may belong to nobody (the catalogue), the database has no tenant to compare.
    """
    tenanted = {model._meta.db_table: model for model in apps.get_models() if _has_tenant(model)}
    return [
        (table, field.column, field.related_model._meta.db_table)
        for table, model in sorted(tenanted.items())
        for field in model._meta.concrete_fields
        if isinstance(field, ForeignKey)
        and field.related_model._meta.db_table in tenanted
        and not field.related_model._meta.get_field("tenant").null
    ]


def check(table: str, victim: Side, attacker: Side) -> None:
    """All ways to a foreign row of one table. Each refusal stands beside what its owner may."""
    theirs, ours = victim.principal.tenant_id, attacker.principal.tenant_id
    assert _seen(table, theirs, within=theirs) > 0, f"{table}: its owner sees nothing, so that nothing is proven"
    assert _seen(table, theirs, within=ours) == 0, f"{table}: rows of another tenant can be read"
    assert _seen(table, theirs, within=None) == 0, f"{table}: rows can be read without a scope"
    assert _seen_by_owner(table, theirs) == 0, f"{table}: the role that migrates can read rows"
    assert _changed(table, theirs, within=ours) == 0, f"{table}: rows of another tenant can be changed"
    assert _removed(table, theirs, within=ours) == 0, f"{table}: rows of another tenant can be removed"
    if _may_insert(table):
        copy = _copy(victim, table)
        assert "row-level security" not in _planted(table, copy, within=theirs), f"{table}: nobody can add rows"
        refused = _planted(table, copy, within=ours)
        assert "row-level security" in refused, f"{table}: a row can be planted in another tenant: {refused}"


# Columns of which a row fills one at most.
ONE_OF = {"billing_quota": ("user_id", "team_id", "api_key_id")}


def check_reference(table: str, column: str, target: str, victim: Side, attacker: Side) -> None:
    """A row cannot point at another tenant's, whatever its id: checks of references bypass row-level security."""
    admin = attacker.admin
    own, foreign = (_some_id(admin, target, side.principal.tenant_id) for side in (attacker, victim))
    row = _some_id(admin, table, attacker.principal.tenant_id)
    assert row and own and foreign, f"{table}.{column}: there are no rows to try it with"
    others = [sql.SQL(", {} = NULL").format(sql.Identifier(name)) for name in ONE_OF.get(table, ()) if name != column]
    update = sql.SQL("UPDATE {} SET {} = %s{} WHERE id = %s").format(
        sql.Identifier(table), sql.Identifier(column), sql.Composed(others)
    )
    clear = sql.SQL("DELETE FROM {} WHERE {} = %s AND id <> %s").format(sql.Identifier(table), sql.Identifier(column))

    def pointed(to: UUID) -> None:
        with admin.transaction(force_rollback=True):
            # What is unique must not speak before the reference does.
            admin.execute("SET LOCAL session_replication_role = replica")
            admin.execute(clear, [to, row])
            admin.execute("SET LOCAL session_replication_role = origin")
            admin.execute(update, [to, row])
            admin.execute("SET CONSTRAINTS ALL IMMEDIATE")

    pointed(own)
    try:
        pointed(foreign)
    except psycopg.errors.ForeignKeyViolation as error:
        assert error.diag.table_name == table, str(error)
        return
    raise AssertionError(f"{table}.{column}: a row can point into another tenant's {target}")


def _has_tenant(model: Any) -> bool:
    return any(field.name == "tenant" for field in model._meta.concrete_fields) and model._meta.managed


def _some_id(admin: "psycopg.Connection[Any]", table: str, tenant_id: UUID) -> UUID | None:
    query = sql.SQL("SELECT id FROM {} WHERE tenant_id = %s ORDER BY id LIMIT 1").format(sql.Identifier(table))
    row = admin.execute(query, [tenant_id]).fetchone()
    return row[0] if row else None


def _seen(table: str, tenant_id: UUID, *, within: UUID | None) -> int:
    query = f'SELECT count(*) FROM "{table}" WHERE tenant_id = %s'
    with tried():
        scope = tenant_scope(within) if within else transaction.atomic(durable=True)
        with scope, connections["default"].cursor() as cursor:
            cursor.execute(query, [tenant_id])
            (count,) = cursor.fetchone() or (0,)
    return int(count)


def _seen_by_owner(table: str, tenant_id: UUID) -> int:
    query = sql.SQL("SELECT count(*) FROM {} WHERE tenant_id = %s").format(sql.Identifier(table))
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        (count,) = owner.execute(query, [tenant_id]).fetchone() or (0,)
    return int(count)


def _changed(table: str, tenant_id: UUID, *, within: UUID) -> int:
    return _done(f'UPDATE "{table}" SET {_changeable(table)} WHERE tenant_id = %s', tenant_id, within)


def _removed(table: str, tenant_id: UUID, *, within: UUID) -> int:
    return _done(f'DELETE FROM "{table}" WHERE tenant_id = %s', tenant_id, within)


def _done(statement: str, tenant_id: UUID, within: UUID) -> int:
    """How many rows a statement touched; 0 where the role may do nothing of the kind to any row."""
    done = 0
    with tried():
        try:
            with tenant_scope(within), connections["default"].cursor() as cursor:
                cursor.execute(statement, [tenant_id])
                done = cursor.rowcount
                raise Undo
        except ProgrammingError as error:
            assert "permission denied" in str(error), str(error)
    return done


def _changeable(table: str) -> str:
    """`column = column` of one that the role may write, so that a missing grant does not hide a missing wall."""
    query = (
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND "
        "attgenerated = '' ORDER BY NOT has_column_privilege(attrelid, attnum, 'UPDATE'), attnum LIMIT 1"
    )
    with tried(), connections["default"].cursor() as cursor:
        cursor.execute(query, [table])
        (name,) = cursor.fetchone() or ("id",)
    return f'"{name}" = "{name}"'


def _may_insert(table: str) -> bool:
    with tried(), connections["default"].cursor() as cursor:
        cursor.execute("SELECT has_table_privilege(%s, 'INSERT')", [table])
        (may,) = cursor.fetchone() or (False,)
    return bool(may)


def _copy(side: Side, table: str) -> str:
    """One of the side's rows under an id of its own, as JSON."""
    query = sql.SQL(
        "SELECT (to_jsonb(t) || jsonb_build_object('id', gen_random_uuid()))::text FROM {} t "
        "WHERE tenant_id = %s LIMIT 1"
    ).format(sql.Identifier(table))
    (copy,) = side.admin.execute(query, [side.principal.tenant_id]).fetchone() or ("{}",)
    return str(copy)


def _planted(table: str, row: str, *, within: UUID) -> str:
    """What the database says to a new row; nothing where it takes it. It looks at the wall before anything else."""
    told = ""
    with tried():
        try:
            with tenant_scope(within), connections["default"].cursor() as cursor:
                cursor.execute(
                    f'INSERT INTO "{table}" SELECT * FROM jsonb_populate_record(NULL::"{table}", %s)',
                    [row],
                )
                raise Undo
        except Undo:
            raise
        except Exception as error:
            told = str(error)
    return told
