"""The administrations speak to people: names and dollars, no raw values, and the right words for many."""

import re
from collections.abc import Callable
from uuid import uuid4

from django.test import Client

from apps.billing.models import Quota
from apps.tenants import teams
from apps.tenants.contracts import Principal
from apps.tenants.models import Flag, ModelRule, Tenant
from tests.tenants.admin.conftest import entries, errors_of

DeskOf = Callable[[Principal], Client]


def test_budgets_are_typed_and_shown_in_dollars(office: Client, alice: Principal) -> None:
    form = {"tenant": str(alice.tenant_id), "budget_day_nanousd": "12.5", "budget_month_nanousd": ""}
    assert office.post("/admin/billing/quota/add/", form).status_code == 302
    quota = Quota.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert (quota.budget_day_nanousd, quota.budget_month_nanousd) == (12_500_000_000, None)
    path = f"/admin/billing/quota/{quota.id}/change/"
    page = office.get(path).content.decode()
    assert 'value="12.5"' in page
    assert "Budget a day, $" in page
    assert office.post(path, form).status_code == 302
    assert entries(alice.tenant_id, "quota.changed") == [], "nothing changed, nothing told"
    assert office.post(path, form | {"budget_day_nanousd": "0.000000001"}).status_code == 302
    (changed,) = entries(alice.tenant_id, "quota.changed")
    assert changed.data["budget_day_nanousd"] == {"from": 12_500_000_000, "to": 1}
    for wrong in ("-1", "much", "0.0000000001"):
        assert "budget_day_nanousd" in errors_of(office.post(path, form | {"budget_day_nanousd": wrong}))


def test_a_persons_budget_over_the_workspaces_is_refused_in_dollars(
    alice: Principal, bob: Principal, desk_of: DeskOf
) -> None:
    Quota.objects.using("engine").create(tenant_id=alice.tenant_id, budget_day_nanousd=2_500_000_000)
    form = {"user": str(bob.user_id), "budget_day_nanousd": "3"}
    answer = desk_of(alice).post("/manage/billing/quota/add/", form)
    assert errors_of(answer) == {"budget_day_nanousd": ["The workspace itself has $ 2.5."]}


def test_a_tenant_without_a_list_of_models_has_every_model(alice: Principal, desk_of: DeskOf) -> None:
    desk, path = desk_of(alice), f"/manage/tenants/tenant/{alice.tenant_id}/change/"
    for given, told in (([], "every model"), (None, "every model"), (["coder", "brook"], "coder, brook")):
        Tenant.objects.using("engine").filter(id=alice.tenant_id).update(allowed_models=given)
        page = desk.get(path).content.decode()
        assert told in page
        assert "[]" not in page.partition("field-offered")[2].partition("field-requires")[0]


def test_a_rules_teams_are_chosen_by_name_and_from_its_own_tenant(
    office: Client, alice: Principal, mallory: Principal
) -> None:
    team = teams.create_team(alice, f"Research {uuid4().hex}")
    foreign = teams.create_team(mallory, f"Elsewhere {uuid4().hex}")
    teams.set_model_rule(alice, "pro", ["billing_admin"], [team])
    rule = ModelRule.objects.using("engine").get(tenant_id=alice.tenant_id)
    assert "Billing admin" in office.get(f"/admin/tenants/modelrule/?q={rule.tier}").content.decode()
    path = f"/admin/tenants/modelrule/{rule.id}/change/"
    page = office.get(path).content.decode()
    assert "Research" in page
    assert "Elsewhere" not in page
    form = {"tier": "pro", "roles": ["owner"]}
    assert "teams" in errors_of(office.post(path, form | {"teams": [str(foreign)]}))
    assert office.post(path, form | {"teams": [str(team)]}).status_code == 302
    rule.refresh_from_db(using="engine")
    assert (rule.roles, rule.teams) == (["owner"], [team])
    (changed,) = entries(alice.tenant_id, "model_rule.changed")
    assert changed.data == {"roles": {"from": ["billing_admin"], "to": ["owner"]}}


def test_many_entries_and_keys_are_called_so(office: Client, alice: Principal, desk_of: DeskOf) -> None:
    for client, site in ((office, "admin"), (desk_of(alice), "manage")):
        page = client.get(f"/{site}/tenants/auditentry/").content.decode()
        assert "audit entries" in page.lower()
        assert "entrys" not in page
        assert "API keys" in client.get(f"/{site}/tenants/apikey/").content.decode()


def test_the_search_over_a_list_has_a_name(office: Client, alice: Principal, desk_of: DeskOf) -> None:
    """A placeholder is none: it goes as one types."""
    for client, site, query in ((office, "admin", "?all=&q=x"), (desk_of(alice), "manage", "?role__exact=owner&q=x")):
        page = client.get(f"/{site}/tenants/membership/{query}").content.decode()
        (field,) = re.findall(r'<input[^>]*name="q"[^>]*>', page)
        assert 'aria-label="Search memberships"' in field and 'value="x"' in field
        assert 'name="role__exact" value="owner"' in page or site == "admin", "the filter stays"


def test_a_flag_is_switched_off_for_one_tenant_by_name(office: Client, alice: Principal, mallory: Principal) -> None:
    name = f"exception-{uuid4().hex[:8]}"
    form = {"name": name, "everyone": "true", "off_for": [str(alice.tenant_id)]}
    assert office.post("/admin/tenants/flag/add/", form).status_code == 302
    flag = Flag.objects.get(name=name)
    assert (flag.is_on_for(alice.tenant_id), flag.is_on_for(mallory.tenant_id)) == (False, True)
    assert "1 tenant" in office.get(f"/admin/tenants/flag/?q={name}").content.decode()
    told = [entry.data for entry in entries(None, "flag.added") if entry.target_id == str(flag.pk)]
    assert told[0]["off_for"] == [str(alice.tenant_id)]
