"""Every page of both administrations: lists, searches, forms for new rows and rows."""

import re
from collections.abc import Callable

import pytest
from django.contrib import admin
from django.test import Client

from apps.tenants import services
from apps.tenants.admin_sites import manage
from apps.tenants.contracts import Principal
from tests.people import Operator
from tests.tenants.admin.conftest import desk_of, office

__all__ = ["desk_of", "office"]


@pytest.fixture(autouse=True)
def key(alice: Principal) -> None:
    """A row where there might be none."""
    services.create_api_key(alice, "shown")


def test_every_page_of_the_operators_opens(office: Client, operator: Operator) -> None:
    rows = 0
    for model, page in admin.site._registry.items():
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        listed = office.get(f"{path}?q=x")
        assert listed.status_code == 200, path
        added = office.get(f"{path}add/").status_code
        assert added == (200 if page.has_add_permission(listed.wsgi_request) else 403), path
        row = model._default_manager.using("engine").order_by("pk").last()
        if row is not None:
            rows += 1
            assert office.get(f"{path}{row.pk}/change/").status_code == 200, path
            assert office.get(f"{path}{row.pk}/history/").status_code == 200, path
    assert rows > 5


def test_every_page_of_a_tenants_administration_opens(alice: Principal, desk_of: Callable[[Principal], Client]) -> None:
    desk, rows = desk_of(alice), 0
    for model, page in manage._registry.items():
        path = f"/manage/{model._meta.app_label}/{model._meta.model_name}/"
        for query in ("?q=x", "?all=", ""):
            listed = desk.get(f"{path}{query}")
            assert listed.status_code in (200, 302), path
        added = desk.get(f"{path}add/").status_code
        assert added == (200 if page.has_add_permission(listed.wsgi_request) else 403), path
        for row in re.findall(rf'href="{path}([^/"]+)/change/', listed.content.decode())[:1]:
            rows += 1
            assert desk.get(f"{path}{row}/change/").status_code == 200, path
    assert rows > 1
