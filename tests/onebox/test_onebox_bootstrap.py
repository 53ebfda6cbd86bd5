"""Roles and database are made once, are what row-level security needs, and are repaired when they are not."""

from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest

from onebox.bootstrap import APP, ENGINE, OWNER, ROLES, BootstrapFailed, bootstrap, may_create_roles, with_login
from onebox.postgres import Postgres

PASSWORDS = {OWNER: "owner-pw", APP: "app-pw", ENGINE: "engine p@ss/w'rd"}


@pytest.fixture
def database() -> str:
    return f"db_{uuid4().hex[:12]}"


def one(url: str, query: str, *values: object) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), values)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def test_no_role_is_a_superuser_or_bypasses_row_level_security(server: Postgres, database: str) -> None:
    urls = bootstrap(server.admin_url, database, PASSWORDS)
    for url, role in ((urls.app, APP), (urls.engine, ENGINE), (urls.owner, OWNER)):
        assert one(url, "SELECT current_user") == role
        assert one(url, "SELECT current_database()") == database
        rights = "rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication"
        assert one(url, f"SELECT {rights} FROM pg_roles WHERE rolname = current_user") is False


def test_only_the_owner_makes_tables_and_vectors_are_there(server: Postgres, database: str) -> None:
    urls = bootstrap(server.admin_url, database, PASSWORDS)
    one(urls.owner, "CREATE TABLE made (embedding vector(3))")
    for url in (urls.app, urls.engine):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one(url, "CREATE TABLE refused (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            one(url, "SELECT count(*) FROM made")
        assert one(url, "SELECT '[1,2,3]'::vector <-> '[1,2,5]'::vector") == 2.0
    assert one(urls.owner, "SELECT tableowner FROM pg_tables WHERE tablename = 'made'") == OWNER


def test_repeating_keeps_the_data_and_takes_new_passwords(server: Postgres, database: str) -> None:
    urls = bootstrap(server.admin_url, database, PASSWORDS)
    one(urls.owner, "CREATE TABLE kept AS SELECT 7 AS value")
    again = bootstrap(server.admin_url, database, PASSWORDS)
    assert again == urls
    changed = bootstrap(server.admin_url, database, PASSWORDS | {OWNER: "other"})
    assert one(changed.owner, "SELECT value FROM kept") == 7
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(urls.owner)


def test_rights_that_crept_in_are_taken_away(server: Postgres, database: str) -> None:
    bootstrap(server.admin_url, database, PASSWORDS)
    one(server.admin_url, f"ALTER ROLE {APP} SUPERUSER BYPASSRLS CREATEDB")
    urls = bootstrap(server.admin_url, database, PASSWORDS)
    query = "SELECT rolsuper OR rolbypassrls OR rolcreatedb FROM pg_roles WHERE rolname = current_user"
    assert one(urls.app, query) is False


def _administrator(server: Postgres, attributes: str) -> str:
    """A role without superuser rights, on a server where none of our roles exists yet."""
    name = f"admin_{uuid4().hex[:12]}"
    one(server.admin_url, f"CREATE ROLE {name} LOGIN PASSWORD 'pw' {attributes}")
    return with_login(server.admin_url, name, "pw", "postgres")


@pytest.fixture
def fresh(server: Postgres) -> Callable[[], None]:
    def drop_roles() -> None:
        for (name,) in _rows(server, "SELECT datname FROM pg_database WHERE datname LIKE 'db\\_%'"):
            one(server.admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')
        for role in ROLES:
            one(server.admin_url, f"DROP ROLE IF EXISTS {role}")

    return drop_roles


def _rows(server: Postgres, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(server.admin_url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_an_administrator_without_superuser_rights_is_enough_where_vector_is_trusted(
    server: Postgres, database: str, fresh: Callable[[], None]
) -> None:
    fresh()
    admin_url = _administrator(server, "CREATEROLE CREATEDB")
    one(server.admin_url, f"CREATE DATABASE {database}")
    one(with_login(server.admin_url, "postgres", server.password, database), "CREATE EXTENSION vector")
    one(server.admin_url, f"ALTER DATABASE {database} OWNER TO {admin_url.split('//')[1].split(':')[0]}")
    urls = bootstrap(admin_url, database, PASSWORDS)
    assert one(urls.app, "SELECT '[1]'::vector <-> '[4]'::vector") == 3.0
    one(urls.owner, "CREATE TABLE made (id int)")
    assert bootstrap(admin_url, database, PASSWORDS) == urls
    fresh()


def test_one_that_may_not_is_told_what_to_do(server: Postgres, database: str, fresh: Callable[[], None]) -> None:
    fresh()
    with pytest.raises(BootstrapFailed, match="DATABASE_ADMIN_URL of a superuser"):
        bootstrap(_administrator(server, "CREATEROLE CREATEDB"), database, PASSWORDS)
    fresh()
    with pytest.raises(BootstrapFailed, match="DATABASE_ADMIN_URL of a superuser"):
        bootstrap(_administrator(server, "CREATEDB"), database, PASSWORDS)


def test_who_may_create_roles_is_recognised(server: Postgres) -> None:
    assert may_create_roles(server.admin_url)
    assert may_create_roles(_administrator(server, "CREATEROLE"))
    assert not may_create_roles(_administrator(server, ""))


def test_addresses_keep_server_and_options() -> None:
    url = with_login("postgres://a:b@db.example:6432/old?sslmode=require", "me", "p@ss/w:rd", "new")
    assert url == "postgresql://me:p%40ss%2Fw%3Ard@db.example:6432/new?sslmode=require"
