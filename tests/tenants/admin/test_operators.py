"""The administration reads and writes across tenants as `engine`, and shows no secret."""

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.test import Client

from apps.accounts.models import User
from apps.tenants import selectors, services
from apps.tenants.contracts import Principal
from apps.tenants.models import ApiKey, Membership, Tenant
from tests.people import Operator, new_address


def change(client: Client, path: str, **fields: str) -> int:
    response = client.post(path, fields)
    errors = response.context["errors"] if response.status_code == 200 and response.context else None
    assert not errors, errors
    return response.status_code


def test_members_of_tenants_do_not_enter(alice: Principal) -> None:
    client = Client(REMOTE_ADDR=new_address())
    client.force_login(User.objects.get(id=alice.user_id))
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_guesses_at_an_operators_password_are_slowed_down(one_window: None, operator: Operator) -> None:
    home, client = Client(REMOTE_ADDR=new_address()), Client(REMOTE_ADDR=new_address())
    known = {"username": operator.email, "password": operator.password}
    assert home.post("/admin/login/", known).status_code == 302
    for number in range(5):
        page = client.post("/admin/login/", {"username": operator.email, "password": f"guess {number}"})
        assert "Too many tries" not in page.content.decode()
    # The right password does not tell itself apart, and the count is the one of the other doors.
    right = {"username": operator.email, "password": operator.password}
    elsewhere = Client(REMOTE_ADDR=new_address())
    assert "Too many tries. Wait" in elsewhere.post("/admin/login/", right).content.decode()
    assert elsewhere.get("/admin/").status_code == 302
    assert elsewhere.post("/login/", {"email": operator.email, "password": operator.password}).status_code == 429
    home.cookies.pop(settings.SESSION_COOKIE_NAME)
    assert home.post("/admin/login/", known).status_code == 302, "their own device is not locked out"


def test_lists_show_every_tenant_and_search_finds(office: Client, alice: Principal, mallory: Principal) -> None:
    key = services.create_api_key(alice, "canary")
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    for path, found in (
        (f"/admin/tenants/tenant/?q={slug}", slug),
        (f"/admin/tenants/membership/?q={alice.user_email}", alice.user_email),
        (f"/admin/tenants/apikey/?q={key.prefix}", key.prefix),
        (f"/admin/accounts/user/?q={mallory.user_email}", mallory.user_email),
    ):
        response = office.get(path)
        assert response.status_code == 200
        assert found in response.content.decode()


def test_a_tenant_is_opened_changed_and_written_into_the_history(office: Client, operator: Operator) -> None:
    slug = f"by-hand-{operator.id.hex[-8:]}"
    fields = {"name": "By hand", "slug": slug, "plan": "free", "status": "active"}
    assert change(office, "/admin/tenants/tenant/add/", **fields) == 302
    tenant = Tenant.objects.using("engine").get(slug=slug)
    path = f"/admin/tenants/tenant/{tenant.id}/change/"
    assert office.get(path).status_code == 200
    assert change(office, path, **fields | {"status": "suspended"}) == 302
    tenant.refresh_from_db(using="engine")
    assert (tenant.status, tenant.name) == ("suspended", "By hand")
    history = LogEntry.objects.filter(user_id=operator.id, object_id=str(tenant.id)).order_by("id")
    assert [entry.action_flag for entry in history] == [1, 2]
    assert office.get(f"/admin/tenants/tenant/{tenant.id}/history/").status_code == 200
    assert office.get(f"/admin/tenants/tenant/{tenant.id}/delete/").status_code == 403


def test_a_slug_that_another_tenant_has_is_told_and_saves_nothing(office: Client, alice: Principal) -> None:
    slug = Tenant.objects.using("engine").get(id=alice.tenant_id).slug
    fields = {"name": "Twin", "slug": slug, "plan": "free", "status": "active"}
    response = office.post("/admin/tenants/tenant/add/", fields, follow=True)
    assert response.status_code == 200
    assert "already" in response.content.decode()
    assert Tenant.objects.using("engine").filter(slug=slug).count() == 1


def test_memberships_are_given_changed_and_taken(office: Client, alice: Principal, mallory: Principal) -> None:
    fields = {"tenant": str(alice.tenant_id), "user": str(mallory.user_id), "role": "viewer"}
    assert change(office, "/admin/tenants/membership/add/", **fields) == 302
    membership = Membership.objects.using("engine").get(tenant_id=alice.tenant_id, user_id=mallory.user_id)
    path = f"/admin/tenants/membership/{membership.id}"
    assert change(office, f"{path}/change/", role="admin") == 302
    principal = selectors.principal_for(mallory.user_id, alice.tenant_id)
    assert principal is not None
    assert principal.role == "admin"
    assert change(office, f"{path}/delete/", post="yes") == 302
    assert selectors.principal_for(mallory.user_id, alice.tenant_id) is None


def test_a_person_is_switched_off(office: Client, alice: Principal) -> None:
    path = f"/admin/accounts/user/{alice.user_id}/change/"
    page = office.get(path).content.decode()
    assert "pbkdf2" not in page
    assert change(office, path, name="Alice", is_superuser="") == 302
    assert selectors.principal_for(alice.user_id) is None
    assert office.get("/admin/accounts/user/add/").status_code == 403


def test_keys_are_revoked_by_an_action_and_never_edited(office: Client, alice: Principal, operator: Operator) -> None:
    key = services.create_api_key(alice, "leaked")
    digest = bytes(ApiKey.objects.using("engine").get(id=key.id).digest)
    page = office.get(f"/admin/tenants/apikey/{key.id}/change/").content.decode()
    assert key.prefix in page
    assert digest.hex() not in page
    fields = {"action": "revoke", "_selected_action": str(key.id)}
    assert change(office, "/admin/tenants/apikey/", **fields) == 302
    assert selectors.principal_for_api_key(key.secret) is None
    assert LogEntry.objects.filter(user_id=operator.id, object_id=str(key.id)).count() == 1
    assert office.get("/admin/tenants/apikey/add/").status_code == 403
