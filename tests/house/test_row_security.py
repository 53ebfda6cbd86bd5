"""The wall between tenants, read from the database's own catalogue."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from apps.tenants.row_security import APP, ENGINE
from tests import servers
from tests.house.catalogue import (
    APP_ON_GLOBAL_TABLES,
    ENGINE_GRANTS,
    FURTHER_APP_POLICIES,
    GLOBAL_TABLES,
    GUARDED_GLOBAL_TABLES,
)

OWN_ROWS = "(tenant_id = (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid)"
OWN_TENANT = OWN_ROWS.replace("tenant_id =", "id =")
ROLES = (APP, ENGINE, "switchboard_owner")


@pytest.fixture(scope="module")
def superuser() -> Iterator[psycopg.Connection[Any]]:
    """Looks at the template database: what the migrations made, and nothing else."""
    addresses = servers.shared()
    assert addresses is not None
    base, _, _ = addresses.admin.rpartition("/")
    with psycopg.connect(f"{base}/{addresses.template}", autocommit=True) as connection:
        yield connection


def rows(connection: psycopg.Connection[Any], query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
    return list(connection.execute(query, values or None).fetchall())


@pytest.fixture(scope="module")
def tables(superuser: psycopg.Connection[Any]) -> dict[str, tuple[bool, bool, bool]]:
    """Every table: (carries tenant_id, row-level security on, forced)."""
    found = rows(
        superuser,
        "SELECT c.relname, EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' "
        "AND NOT a.attisdropped), c.relrowsecurity, c.relforcerowsecurity FROM pg_class c "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')",
    )
    assert len(found) > 20
    return {name: (tenanted, enabled, forced) for name, tenanted, enabled, forced in found}


@pytest.fixture(scope="module")
def policies(superuser: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """(table, policy, roles, command, using, check) of every policy."""
    return rows(
        superuser, "SELECT tablename, policyname, roles::text[], cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"
    )


def grants_of(connection: psycopg.Connection[Any], role: str) -> dict[str, str]:
    """What a role may do with each table, spelled as in GRANT."""
    found = rows(
        connection,
        "SELECT c.relname, a.privilege_type, NULL FROM pg_class c, aclexplode(c.relacl) a "
        "WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') "
        "AND a.grantee IN (0, %s::regrole) UNION ALL "
        "SELECT c.relname, a.privilege_type, t.attname FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, "
        "aclexplode(t.attacl) a WHERE c.relnamespace = 'public'::regnamespace AND a.grantee IN (0, %s::regrole)",
        role,
        role,
    )
    columns: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for table, privilege, column in found:
        columns[table][privilege] += [column] if column else []
    order = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN"]
    return {
        table: ", ".join(
            f"{privilege} ({', '.join(sorted(names))})" if names else privilege
            for privilege, names in sorted(privileges.items(), key=lambda item: order.index(item[0]))
        )
        for table, privileges in columns.items()
    }


def test_every_table_with_a_tenant_is_walled_and_forced(tables: dict[str, tuple[bool, bool, bool]]) -> None:
    open_tables = [
        name for name, (tenanted, enabled, forced) in tables.items() if tenanted and not (enabled and forced)
    ]
    assert open_tables == []


def test_tables_without_a_tenant_are_the_listed_ones(tables: dict[str, tuple[bool, bool, bool]]) -> None:
    for name, reason in sorted(GLOBAL_TABLES.items()):
        print(f"global  {name}: {reason}")
    assert {name for name, (tenanted, _, _) in tables.items() if not tenanted} == set(GLOBAL_TABLES)
    assert {name for name in GLOBAL_TABLES if tables[name][1:] == (True, True)} == GUARDED_GLOBAL_TABLES


def test_app_sees_rows_of_its_tenant_and_the_listed_ones(
    tables: dict[str, tuple[bool, bool, bool]], policies: list[tuple[Any, ...]]
) -> None:
    further = {}
    walled = set()
    for table, name, roles, command, using, check in policies:
        if APP not in roles:
            continue
        if tables[table][0] and name == "tenant":
            assert (command, using, check) == ("ALL", OWN_ROWS, OWN_ROWS), table
            walled.add(table)
        else:
            further[table, name] = (command, using)
    assert walled == {name for name, (tenanted, _, _) in tables.items() if tenanted}
    assert {key: command for key, (command, _) in further.items()} == {
        key: command for key, (command, _) in FURTHER_APP_POLICIES.items()
    }
    assert further["tenants_tenant", "tenant"][1] == OWN_TENANT
    assert all(using == "(tenant_id IS NULL)" for (_, name), (_, using) in further.items() if name == "offered")


def test_policies_name_their_role(policies: list[tuple[Any, ...]]) -> None:
    assert [(table, name) for table, name, roles, *_ in policies if set(roles) not in ({APP}, {ENGINE})] == []
    assert [(table, name) for table, name, roles, *_ in policies if roles == [ENGINE] and name != "engine"] == []


def test_engine_may_do_what_is_listed_with_its_reason(superuser: psycopg.Connection[Any]) -> None:
    for table, (privileges, reason) in sorted(ENGINE_GRANTS.items()):
        print(f"engine  {table}: {privileges} -- {reason}")
    assert grants_of(superuser, ENGINE) == {table: privileges for table, (privileges, _) in ENGINE_GRANTS.items()}


def test_app_may_do_what_is_listed_with_global_tables(superuser: psycopg.Connection[Any]) -> None:
    granted = {table: told for table, told in grants_of(superuser, APP).items() if table in GLOBAL_TABLES}
    assert granted == APP_ON_GLOBAL_TABLES


def test_ledger_lines_cannot_be_changed_by_who_serves(superuser: psycopg.Connection[Any]) -> None:
    for role in (APP, ENGINE):
        assert grants_of(superuser, role)["billing_ledgerentry"] == "SELECT, INSERT"


def test_roles_have_no_way_around(superuser: psycopg.Connection[Any]) -> None:
    found = rows(
        superuser,
        "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles "
        "WHERE rolname = ANY(%s)",
        list(ROLES),
    )
    assert sorted(found) == [(role, False, False, False, False, False) for role in sorted(ROLES)]
    memberships = rows(
        superuser,
        "SELECT member::regrole::text FROM pg_auth_members WHERE member::regrole::text = ANY(%s)",
        list(ROLES),
    )
    assert memberships == []


def test_the_owner_owns_everything(superuser: psycopg.Connection[Any]) -> None:
    owners = rows(
        superuser,
        "SELECT DISTINCT relowner::regrole::text FROM pg_class c WHERE relnamespace = 'public'::regnamespace "
        "AND relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT EXISTS (SELECT 1 FROM pg_depend d "
        "WHERE d.objid = c.oid AND d.deptype = 'e')",
    )
    assert owners == [("switchboard_owner",)]


def test_views_and_functions_do_not_lend_the_owners_eyes(superuser: psycopg.Connection[Any]) -> None:
    views = rows(
        superuser,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND (relkind = 'm' OR relkind = 'v' "
        "AND NOT coalesce(reloptions @> '{security_invoker=true}', false))",
    )
    definers = rows(
        superuser,
        "SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace AND prosecdef AND NOT EXISTS "
        "(SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')",
    )
    assert (views, definers) == ([], [])


def test_references_between_tenants_tables_stay_in_one_tenant(superuser: psycopg.Connection[Any]) -> None:
    """Foreign-key checks bypass row-level security, so a reference by id alone could point at another tenant's row."""
    single = rows(
        superuser,
        "SELECT c.conrelid::regclass::text, c.confrelid::regclass::text FROM pg_constraint c WHERE c.contype = 'f' "
        "AND c.connamespace = 'public'::regnamespace AND cardinality(c.conkey) = 1 AND EXISTS (SELECT 1 FROM "
        "pg_attribute a WHERE a.attrelid = c.confrelid AND a.attname = 'tenant_id' AND NOT a.attisdropped) "
        "ORDER BY 1, 2",
    )
    # The catalogue's rows may belong to no tenant, and only `engine` writes them.
    assert single == [
        ("routing_deployment", "routing_languagemodel"),
        ("routing_deployment", "routing_provider"),
        ("routing_price", "routing_deployment"),
    ]
