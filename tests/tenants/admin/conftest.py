"""Browsers of an operator and of tenants' administrators, with their second factor shown."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry
from tests.people import Operator, new_address, prove_second_factor


@pytest.fixture(autouse=True)
def doors() -> None:
    """The product's own, unlike beside this folder."""


@pytest.fixture
def office(operator: Operator) -> Client:
    """An operator's browser, signed in to the administration through its own page."""
    client = Client(REMOTE_ADDR=new_address())
    response = client.post("/admin/login/?next=/admin/", {"username": operator.email, "password": operator.password})
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    prove_second_factor(client, operator.id)
    return client


@pytest.fixture
def desk_of(client_of: Callable[[Principal], Client]) -> Callable[[Principal], Client]:
    """Makes the browser of a tenant's administrator."""

    def sit(principal: Principal) -> Client:
        client = client_of(principal)
        prove_second_factor(client, principal.user_id)
        return client

    return sit


def entries(tenant_id: UUID | None, action: str) -> list[AuditEntry]:
    """What a chain says of an action, the earliest first."""
    return list(AuditEntry.objects.using("engine").filter(tenant_id=tenant_id, action=action).order_by("seq"))


def errors_of(response: Any) -> dict[str, list[str]]:
    """What a form found wrong."""
    assert response.status_code == 200
    return dict(response.context["adminform"].form.errors)
