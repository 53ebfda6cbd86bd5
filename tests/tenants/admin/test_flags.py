"""Flags are switched for tenants by operators, evaluated against the principal, and only read by `app`."""

from collections.abc import Callable
from uuid import uuid4

import pytest
import waffle
from django.core.management import call_command
from django.db import ProgrammingError
from django.http import HttpRequest
from django.test import Client

from apps.tenants.contracts import Principal
from apps.tenants.models import Flag
from tests.people import new_owner
from tests.tenants.admin.conftest import entries


def asked_by(principal: Principal | None) -> HttpRequest:
    request = HttpRequest()
    request.principal = principal  # type: ignore[attr-defined]
    return request


def is_on(name: str, principal: Principal | None) -> bool:
    return bool(waffle.flag_is_active(asked_by(principal), name))


def test_a_flag_is_switched_for_one_tenant(
    office: Client, alice: Principal, bob: Principal, mallory: Principal
) -> None:
    name = f"trial-{uuid4().hex[:8]}"
    assert not is_on(name, alice)
    form = {"name": name, "everyone": "unknown", "tenants": [str(alice.tenant_id)], "note": "A trial."}
    assert office.post("/admin/tenants/flag/add/", form).status_code == 302
    assert (is_on(name, alice), is_on(name, bob), is_on(name, mallory), is_on(name, None)) == (True, True, False, False)
    flag = Flag.objects.get(name=name)
    path = f"/admin/tenants/flag/{flag.pk}/change/"
    assert office.get(path).status_code == 200
    assert office.post(path, form | {"tenants": [str(mallory.tenant_id)]}).status_code == 302
    assert (is_on(name, alice), is_on(name, mallory)) == (False, True)
    assert office.post(path, form | {"everyone": "false"}).status_code == 302
    assert (is_on(name, alice), is_on(name, mallory)) == (False, False)
    changed = [entry.data for entry in entries(None, "flag.changed") if entry.target_id == str(flag.pk)]
    assert changed[0] == {"tenants": {"from": [str(alice.tenant_id)], "to": [str(mallory.tenant_id)]}}
    assert changed[1]["everyone"] == {"from": None, "to": False}
    assert office.post(f"/admin/tenants/flag/{flag.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Flag.objects.filter(name=name).exists()


def test_a_percentage_takes_whole_tenants_and_the_same_ones_each_time() -> None:
    flag = Flag(name=f"part-{uuid4().hex[:8]}", percent=50)
    tenants = [uuid4() for _ in range(400)]
    first = [flag.is_on_for(tenant) for tenant in tenants]
    assert first == [flag.is_on_for(tenant) for tenant in tenants]
    assert 140 < sum(first) < 260
    assert not any(Flag(name="none", percent=0).is_on_for(tenant) for tenant in tenants)


def test_the_command_works(alice: Principal) -> None:
    name = f"command-{uuid4().hex[:8]}"
    call_command("waffle_flag", name, "--create", "--everyone")
    assert is_on(name, alice)
    call_command("waffle_flag", name, "--deactivate")
    assert not is_on(name, alice)


def test_a_tenant_sees_what_is_on_for_it_and_for_nobody_else(
    office: Client, alice: Principal, mallory: Principal, desk_of: Callable[[Principal], Client]
) -> None:
    name = f"seen-{uuid4().hex[:8]}"
    office.post("/admin/tenants/flag/add/", {"name": name, "everyone": "unknown", "tenants": [str(mallory.tenant_id)]})
    for person, mark in ((alice, "close_small"), (mallory, "check_small")):
        page = desk_of(person).get(f"/manage/tenants/flag/?q={name}").content.decode()
        assert name in page
        assert mark in page
        assert str(mallory.tenant_id) not in page
    flag = Flag.objects.get(name=name)
    alone = desk_of(alice).get(f"/manage/tenants/flag/{flag.pk}/change/", follow=True)
    assert str(mallory.tenant_id) not in alone.content.decode()


def test_app_may_not_write_flags() -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        Flag(name=f"app-{uuid4().hex[:8]}").save(using="default")


def test_two_tenants_share_no_answer() -> None:
    """What is cached is the flag's row, the same for everybody; the answer is made for each request."""
    name = f"cached-{uuid4().hex[:8]}"
    on, off = new_owner("Ann", "On"), new_owner("Ole", "Off")
    Flag.objects.using("engine").create(name=name, tenants=[on.tenant_id])
    for _ in range(3):
        assert (is_on(name, on), is_on(name, off)) == (True, False)
