"""Roles and database, made once by whoever may make them; safe to repeat, also from several machines at once.

`switchboard_owner` owns the database and migrates it, `switchboard_app` and `switchboard_engine` use it. None of them
is a superuser or bypasses row-level security.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

OWNER, APP, ENGINE = "switchboard_owner", "switchboard_app", "switchboard_engine"
ROLES = (OWNER, APP, ENGINE)
DEFAULT_DATABASE = "switchboard"
_MINIMUM_VERSION = 180_000  # uuidv7()
_LOCK_KEY = 0x5357_4954  # one bootstrap at a time, per server
_MUST_BE = {
    "rolcanlogin": (True, "LOGIN"),
    "rolsuper": (False, "NOSUPERUSER"),
    "rolbypassrls": (False, "NOBYPASSRLS"),
    "rolcreatedb": (False, "NOCREATEDB"),
    "rolcreaterole": (False, "NOCREATEROLE"),
    "rolreplication": (False, "NOREPLICATION"),
}

Connection = psycopg.Connection[tuple[object, ...]]


class BootstrapFailed(Exception):
    """The server cannot be prepared with the rights given; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """Where each role connects."""

    app: str
    engine: str
    owner: str


def with_login(url: str, user: str, password: str, database: str) -> str:
    """The same server and options, another login and database."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return urlunsplit(("postgresql", f"{login}@{address}", f"/{quote(database, safe='')}", parts.query, ""))


def with_database(url: str, database: str) -> str:
    """The same server and login, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(database, safe='')}"))


def may_create_roles(url: str) -> bool:
    """Whether the login of an address could bootstrap. Raises psycopg.OperationalError when nobody answers."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(
            "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    return bool(row and row[0])


def bootstrap(admin_url: str, database: str, passwords: Mapping[str, str]) -> DatabaseUrls:
    """Make roles, database, extension and grants where missing, and return the roles' addresses.

    `passwords` by role name. The role of `admin_url` must be allowed to create roles and databases, and be a superuser
    unless the extension `vector` is already there or trusted. Raises BootstrapFailed, psycopg.OperationalError.
    """
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as admin:
            if admin.info.server_version < _MINIMUM_VERSION:
                raise BootstrapFailed("PostgreSQL 18 or later is needed (uuidv7).")
            # Held until the connection closes, so over the second connection's work too.
            admin.execute("SELECT pg_advisory_lock(%s)", [_LOCK_KEY])
            for role in ROLES:
                _ensure_role(admin, role, passwords[role])
            _ensure_database(admin, database)
            with psycopg.connect(with_database(admin_url, database), connect_timeout=5) as inside:
                _prepare_schema(inside)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported) as error:
        raise BootstrapFailed(
            f"The administrator's role cannot prepare database {database!r}: {str(error).strip()}. "
            "Give DATABASE_ADMIN_URL of a superuser, or prepare it yourself and give DATABASE_URL, "
            "DATABASE_ENGINE_URL and DATABASE_OWNER_URL."
        ) from error
    return DatabaseUrls(
        app=with_login(admin_url, APP, passwords[APP], database),
        engine=with_login(admin_url, ENGINE, passwords[ENGINE], database),
        owner=with_login(admin_url, OWNER, passwords[OWNER], database),
    )


def _ensure_role(admin: Connection, role: str, password: str) -> None:
    name = sql.Identifier(role)
    # Hashed here: a statement with the password in clear could end in the server's log.
    verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    attributes = sql.SQL(", ").join(map(sql.Identifier, _MUST_BE))
    query = sql.SQL("SELECT {} FROM pg_roles WHERE rolname = {}").format(attributes, role)
    if admin.execute(query).fetchone() is None:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, verifier))
    else:
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, verifier))
    found = admin.execute(query).fetchone() or ()
    # Only what is wrong: an administrator who is no superuser may not even repeat NOSUPERUSER.
    wrong: list[LiteralString] = [
        word for has, (should, word) in zip(found, _MUST_BE.values(), strict=True) if has is not should
    ]
    if wrong:
        admin.execute(sql.SQL("ALTER ROLE {} {}").format(name, sql.SQL(" ").join(map(sql.SQL, wrong))))


def _ensure_database(admin: Connection, database: str) -> None:
    name, owner = sql.Identifier(database), sql.Identifier(OWNER)
    if not _one(admin, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        # Who is no superuser must belong to a role to give it a database.
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
    current = _one(admin, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", database)
    if current is None:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(name, owner))
    elif current != OWNER:
        admin.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner))


def _prepare_schema(inside: Connection) -> None:
    owner, users = sql.Identifier(OWNER), sql.SQL(", ").join([sql.Identifier(APP), sql.Identifier(ENGINE)])
    inside.execute("CREATE EXTENSION IF NOT EXISTS vector")
    inside.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    inside.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(users))
    inside.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(owner))


def _one(connection: Connection, query: LiteralString, *values: str) -> object:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None
