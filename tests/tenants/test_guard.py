"""A process refuses to start as a role that row-level security would not bind."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connections

from apps.tenants.errors import UnsafeRoles
from apps.tenants.guard import refuse_unsafe_roles
from tests import servers


@contextmanager
def altered(change: str, undo: str) -> Iterator[None]:
    """A change by the superuser, undone afterwards."""
    addresses = servers.shared()
    assert addresses is not None
    database = connections["default"].settings_dict["NAME"]
    with psycopg.connect(f"{addresses.admin.rpartition('/')[0]}/{database}", autocommit=True) as admin:
        admin.execute(change)
        try:
            yield
        finally:
            admin.execute(undo)


def test_the_roles_of_the_product_may_serve() -> None:
    refuse_unsafe_roles()


def test_the_owner_may_not_serve() -> None:
    with pytest.raises(UnsafeRoles, match=r"switchboard_owner \(alias owner\) owns account_emailaddress, .* and more"):
        refuse_unsafe_roles(("owner",))


def test_a_serving_role_that_owns_a_table_is_refused() -> None:
    """A table of this test's own: one of the product's would lose the grants of whoever owned it meanwhile."""
    made = "CREATE TABLE owned_by_engine (id int); ALTER TABLE owned_by_engine OWNER TO switchboard_engine"
    with altered(made, "DROP TABLE owned_by_engine"), pytest.raises(UnsafeRoles) as refused:
        refuse_unsafe_roles()
    assert "switchboard_engine (alias engine) owns owned_by_engine, or belongs" in str(refused.value)
    refuse_unsafe_roles()
