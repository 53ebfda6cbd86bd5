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


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        (
            "ALTER TABLE billing_quota OWNER TO switchboard_engine",
            "ALTER TABLE billing_quota OWNER TO switchboard_owner",
            "switchboard_engine (alias engine) owns billing_quota, or belongs",
        ),
    ],
)
def test_a_serving_role_that_owns_a_table_is_refused(change: str, undo: str, told: str) -> None:
    with altered(change, undo), pytest.raises(UnsafeRoles) as refused:
        refuse_unsafe_roles()
    assert told in str(refused.value)
    refuse_unsafe_roles()
