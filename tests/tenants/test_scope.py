"""The scope in which a tenant's rows are visible never outlives its transaction, even on a single connection."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

from apps.tenants import services
from apps.tenants.contracts import Principal
from apps.tenants.models import ApiKey, Membership, Tenant
from apps.tenants.scope import database_step, own_scope, tenant_scope


@pytest.fixture
def pool_of_one(alice: Principal, mallory: Principal) -> Iterator[None]:
    """Every thread of this process shares one connection of role `app`; who is needed is made before."""
    connection = connections["default"]
    assert isinstance(connection, DatabaseWrapper)
    options = connection.settings_dict["OPTIONS"]["pool"]
    before = options["max_size"]
    connection.close()
    connection.close_pool()
    options["max_size"] = 1
    yield
    connection.close()
    connection.close_pool()
    options["max_size"] = before


def backend_pid() -> int:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def visible() -> tuple[int, set[UUID], set[UUID]]:
    """(connection, tenants of visible keys, visible tenants)."""
    keys = set(ApiKey.objects.values_list("tenant_id", flat=True))
    return backend_pid(), keys, set(Tenant.objects.values_list("id", flat=True))


def visible_to(principal: Principal) -> tuple[int, set[UUID], set[UUID]]:
    with tenant_scope(principal.tenant_id):
        return visible()


@pytest.mark.usefixtures("pool_of_one")
async def test_the_next_borrower_of_a_connection_sees_nothing_of_the_last(alice: Principal, mallory: Principal) -> None:
    for principal in (alice, mallory):
        await database_step(services.create_api_key, principal, "canary")
    owners = [alice, mallory] * 10
    asked = [asyncio.create_task(database_step(visible_to, owner)) for owner in owners]
    unscoped = [asyncio.create_task(database_step(visible)) for _ in range(10)]
    seen = await asyncio.gather(*asked)
    assert [(keys, tenants) for _, keys, tenants in seen] == [({p.tenant_id}, {p.tenant_id}) for p in owners]
    nothing = await asyncio.gather(*unscoped)
    assert [(keys, tenants) for _, keys, tenants in nothing] == [(set(), set())] * 10
    assert len({pid for pid, _, _ in [*seen, *nothing]}) == 1  # or it would prove nothing


@pytest.mark.usefixtures("pool_of_one")
def test_a_failed_transaction_takes_its_scope_along(alice: Principal) -> None:
    services.create_api_key(alice, "canary")
    with pytest.raises(ZeroDivisionError), tenant_scope(alice.tenant_id):
        assert visible()[1] == {alice.tenant_id}
        raise ZeroDivisionError
    assert visible()[1:] == (set(), set())


def test_scopes_do_not_nest(alice: Principal, mallory: Principal) -> None:
    with pytest.raises(RuntimeError), tenant_scope(alice.tenant_id), tenant_scope(mallory.tenant_id):
        pass


def test_ones_own_scope_shows_memberships_and_no_tenants_rows(alice: Principal, bob: Principal) -> None:
    services.create_api_key(bob, "canary")
    with own_scope(bob.user_id):
        assert set(Membership.objects.values_list("user_id", flat=True)) == {bob.user_id}
        assert visible()[1:] == (set(), {alice.tenant_id})
    with tenant_scope(alice.tenant_id):
        assert set(Membership.objects.values_list("user_id", flat=True)) == {alice.user_id, bob.user_id}
