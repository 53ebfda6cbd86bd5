"""The tenants' own administration, and the operators': found in the resolver, tried with another tenant's rows."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.test import Client

from tests.isolation import surface
from tests.isolation.attack import Ground
from tests.isolation.product import Answer, give_back_connections
from tests.isolation.surface import Route
from tests.isolation.walk import body_of, location_of
from tests.isolation.world import Side
from tests.people import Operator, new_address, prove_second_factor

# Lists on which nothing of a tenant stands.
NOBODYS = {"/manage/tenants/flag/": "feature flags are the installation's"}


def routes(door: str) -> Iterator[Route]:
    found = [route for route in surface.routes() if route.administration and route.door == door]
    assert len(found) > 20
    return iter(found)


def is_list(route: Route) -> bool:
    """A page of all rows of a table."""
    parts = route.template.strip("/").split("/")
    return len(parts) == 3 and parts[2] in apps.all_models.get(parts[1], {})


def row_id(route: Route, side: Side) -> str | None:
    """The id of one of the side's rows of the table that a page is of."""
    _, app, model, *_ = route.template.strip("/").split("/")
    ids = side.ids()
    found = ids["tenant"] if (app, model) == ("tenants", "tenant") else ids.get(f"{app}_{model}", [])
    return found[0] if found else None


@pytest.fixture(autouse=True)
def charged(ground: type[Ground]) -> None:
    """Lines of the ledger that are shown: what calls cost."""
    for side in (ground.victim, ground.attacker):
        side.admin.execute(
            "UPDATE billing_ledgerentry SET kind = 'charge' WHERE tenant_id = %s", [side.principal.tenant_id]
        )


def refused(answer: Answer) -> bool:
    """Administrations tell of a row that is not there by going back to their index."""
    return answer.status in (403, 404) or (answer.status == 302 and location_of(answer) in (b"/manage/", b"../"))


def test_pages_of_rows_open_for_their_tenant_alone(ground: type[Ground]) -> None:
    """Each page of one row: another tenant is sent away from it, and its owner is not."""
    tried = 0
    for route in routes("manage"):
        # Without anything after the id, a page only sends on to where the row is looked at.
        if route.names != ("object_id",) or route.template.endswith("%(object_id)s/"):
            continue
        own = row_id(route, ground.victim)
        if own is None:
            assert route.template.startswith("/manage/tenants/flag/"), f"{route.template} has no row"
            continue
        path, before = route.path({"object_id": own}), ground.victim.rows()
        calls = [ground.attacker.call("GET", path, "desk"), ground.attacker.call("POST", path, "desk", form=TAKEN)]
        for call in calls:
            (answer,) = ground.product.call(call)
            assert refused(answer), f"{call.method} {path}: {answer.status} {location_of(answer)!r}"
            assert ground.victim.canary.encode() not in answer.told, f"{call.method} {path} tells the victim's"
        assert ground.victim.rows() == before, f"{path} changed rows of the victim"
        (answer,) = ground.product.call(ground.victim.call("GET", path, "desk"))
        shut = answer.status == 403 and path.endswith("/delete/")  # what nobody may delete
        assert shut or not refused(answer), f"its owner cannot open {path}: {answer.status} {location_of(answer)!r}"
        tried += not shut
    assert tried > 15


TAKEN = {"post": "yes", "name": "taken", "role": "viewer", "tier": "taken", "plan": "taken", "_save": "Save"}


def test_lists_show_a_tenant_its_own(ground: type[Ground]) -> None:
    """Lists, forms for new rows, searches and what fields offer."""
    for route in routes("manage"):
        if route.names:
            continue
        for query in ({}, {"q": ground.victim.canary[:8]}, {"term": ground.victim.canary[:8]}):
            call = ground.attacker.call("GET", route.template, "desk", query=query)
            (answer,) = ground.product.call(call)
            told = answer.told.replace(ground.victim.canary[:8].encode() + b'"', b"")
            assert answer.status < 500, route.template
            assert ground.victim.canary.encode() not in told, f"{route.template} {query}"
        if is_list(route) and route.template not in NOBODYS:
            (answer,) = ground.product.call(ground.victim.call("GET", route.template, "desk"))
            if answer.status == 302:  # of the workspace itself there is one, and its list leads there
                assert location_of(answer).decode().startswith(f"{route.template}{row_id(route, ground.victim)}/")
                continue
            assert answer.status == 200 and ground.victim.canary.encode() in body_of(answer), route.template


def test_chosen_rows_of_others_are_left_alone(ground: type[Ground]) -> None:
    """Actions on lists, with another tenant's ids chosen."""
    before = ground.victim.rows()
    for route in routes("manage"):
        if not is_list(route):
            continue
        own = row_id(route, ground.victim)
        for action in ("delete_selected", "revoke", "off_board", "withdraw", "reactivate"):
            # Not across all pages: that would be the attacker's own rows, which the tests after this one need.
            form = {"action": action, "_selected_action": own or "", "post": "yes", "select_across": "0", "index": "0"}
            (answer,) = ground.product.call(ground.attacker.call("POST", route.template, "desk", form=form))
            assert answer.status < 500 and ground.victim.canary.encode() not in answer.told, (route.template, action)
    assert ground.victim.rows() == before


def test_operators_pages_open_for_operators_alone(ground: type[Ground], operator: Operator) -> None:
    office = Client(REMOTE_ADDR=new_address())
    signed_in = office.post("/admin/login/?next=/admin/", {"username": operator.email, "password": operator.password})
    assert signed_in.status_code == 302
    prove_second_factor(office, operator.id)
    shown = 0
    for route in routes("admin"):
        if route.names or route.template in ("/admin/login/", "/admin/logout/", "/admin/jsi18n/"):
            continue
        own = office.get(route.template)
        give_back_connections()
        assert own.status_code in (200, 302, 400, 403, 404), f"{route.template}: {own.status_code}"
        shown += own.status_code == 200
        for side in (ground.victim, ground.attacker, ground.colleague):
            (answer,) = ground.product.call(side.call("GET", route.template, "desk"))
            to = urlsplit(location_of(answer).decode()).path
            assert answer.status in (403, 404) or (answer.status == 302 and to in ("/admin/login/", "/login/")), (
                f"{route.template}: {side.name} got {answer.status} {to}"
            )
    assert shown > 15
    listed = office.get("/admin/tenants/tenant/?all=").content.decode()
    give_back_connections()
    assert ground.victim.canary in listed and ground.attacker.canary in listed
