"""A row for every table that holds tenants' rows, made from the catalogue alone: tables of tomorrow included."""

import secrets
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

# Columns whose text the product reads as one of a few words. Everything else may hold anything.
_WORDS = {
    "role": "member",
    "default_role": "member",
    "kind": "oidc",
    "via": "session",
    "status": "complete",
    "state": "completed",
    "adapter": "openai_compatible",
    "scope": "own",
    "moderation_prompt": "allow",
    "moderation_answer": "allow",
}
_URL = "https://{}.example/"


def tenant_tables(admin: "psycopg.Connection[Any]") -> list[str]:
    """Tables whose rows belong to tenants, by name."""
    rows = admin.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT a.attisdropped ORDER BY 1"
    )
    return [name for (name,) in rows]


def fill(admin: "psycopg.Connection[Any]", tenant_id: UUID, user_id: UUID, text: str) -> list[str]:
    """Give the tenant a row in each of its tables that has none. Their texts hold `text`. Returns the tables filled."""
    filled = []
    for table in tenant_tables(admin):
        if _own_row(admin, table, tenant_id) is None:
            _add(admin, table, tenant_id, user_id, text, ())
            filled.append(table)
    return filled


def _own_row(admin: "psycopg.Connection[Any]", table: str, tenant_id: UUID) -> Any:
    query = sql.SQL("SELECT id FROM {} WHERE tenant_id = %s ORDER BY id LIMIT 1").format(sql.Identifier(table))
    row = admin.execute(query, [tenant_id]).fetchone()
    return None if row is None else row[0]


def _add(
    admin: "psycopg.Connection[Any]", table: str, tenant_id: UUID, user_id: UUID, text: str, under: tuple[str, ...]
) -> Any:
    if table in under:
        raise RuntimeError(f"rows of {table} need each other: {' -> '.join(under)}")
    targets = _targets(admin, table)
    row: dict[str, Any] = {}
    for name, kind, width, required in _columns(admin, table):
        target = targets.get(name)
        if name == "tenant_id":
            row[name] = tenant_id
        elif target == "accounts_user":
            row[name] = user_id
        elif target is not None:
            if required:
                found = _own_row(admin, target, tenant_id)
                row[name] = found or _add(admin, target, tenant_id, user_id, text, (*under, table))
        else:
            row |= _value(name, kind, width, required, text)
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    places = sql.SQL(", ").join(sql.Placeholder() * len(row))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(sql.Identifier(table), names, places)
    (made,) = admin.execute(statement, list(row.values())).fetchone() or (None,)
    return made


def _value(name: str, kind: str, width: int | None, required: bool, text: str) -> dict[str, Any]:
    """The column's value; nothing where its default or NULL will do. Texts are always given."""
    if kind in ("character varying", "text"):
        if name in _WORDS:
            return {name: _WORDS[name]}
        unique = f"{text}-{secrets.token_hex(4)}"
        value = _URL.format(unique) if name.endswith("url") or name == "issuer" else unique
        return {name: value[:width] if width else value}
    if kind == "jsonb":
        return {name: Jsonb({"canary": text})}
    if not required:
        return {}
    made: dict[str, Any] = {
        "uuid": uuid4(),
        "bytea": secrets.token_bytes(32),
        "boolean": False,
        "inet": "203.0.113.7",
        "halfvec": "[1,0]",
        "double precision": 0.5,
        "timestamp with time zone": "2099-01-01" if name == "expires_at" else "now",
    }
    if kind in ("integer", "bigint", "smallint"):
        return {name: 1 + secrets.randbelow(30_000)}
    return {name: made.get(kind, [] if kind.endswith("[]") else None)}


def _columns(admin: "psycopg.Connection[Any]", table: str) -> list[tuple[str, str, int | None, bool]]:
    """(name, type, width, whether a value must be given) of every column."""
    rows = admin.execute(
        "SELECT a.attname, format_type(a.atttypid, NULL), nullif(a.atttypmod, -1) - 4, "
        "a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' FROM pg_attribute a "
        "WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        [table],
    )
    return list(rows.fetchall())


def _targets(admin: "psycopg.Connection[Any]", table: str) -> dict[str, str]:
    """Column -> the table it points into; of a composite reference, the column beside `tenant_id`."""
    rows = admin.execute(
        "SELECT a.attname, c.confrelid::regclass::text FROM pg_constraint c JOIN pg_attribute a "
        "ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) WHERE c.conrelid = %s::regclass AND c.contype = 'f'",
        [table],
    )
    return {name: target for name, target in rows if name != "tenant_id"}
