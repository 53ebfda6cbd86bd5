"""What the walk over routes and methods does not reach by itself: values in queries that mean something to one door.

Autocompletion and actions of the administrations, a directory's filters and references, cursors of lists, the sign-in
of programs, and every id of the victim's in every field of a socket's messages. Beside each what its owner gets.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import ForeignKey
from django.test import Client

from apps.tenants.admin_sites import manage
from apps.tenants.models import ApiKey
from tests.identity.programs import Program
from tests.isolation.attack import WRITES, Ground
from tests.isolation.belongings import made
from tests.isolation.controls import CONTROLS, Control
from tests.isolation.product import Answer, give_back_connections
from tests.isolation.test_tokens import _OAUTH_KEYS, bearer
from tests.isolation.walk import body_of
from tests.isolation.wires import MESSAGES
from tests.isolation.world import KINDS, MODEL, Side
from tests.people import Operator, new_address, prove_second_factor, session_of


def asked(side: Side, method: str, path: str, credential: str, **more: Any) -> Answer:
    (answer,) = Ground.product.call(side.call(method, path, credential, **more))
    return answer


def tells(answer: Answer, side: Side) -> bool:
    return side.canary.encode() in answer.told


@pytest.fixture
def untouched(ground: type[Ground]) -> Iterator[Callable[[], None]]:
    """Nothing of the victim's was changed by what came before, nor by the whole test."""
    before = ground.victim.rows()

    def check() -> None:
        after = ground.victim.rows()
        assert [table for table in after if after[table] != before[table]] == []

    yield check
    check()


# The administrations -------------------------------------------------------------------------------------------------


def references() -> list[dict[str, str]]:
    """Every reference from a table to another, as the administrations' autocompletion names it."""
    found = [
        {"app_label": model._meta.app_label, "model_name": str(model._meta.model_name), "field_name": field.name}
        for model in {*manage._registry, *admin.site._registry}
        for field in model._meta.get_fields()
        if isinstance(field, ForeignKey)
    ]
    assert len(found) > 20
    return sorted(found, key=str)


@pytest.fixture
def office(operator: Operator) -> Client:
    browser = Client(REMOTE_ADDR=new_address())
    form = {"username": operator.email, "password": operator.password}
    assert browser.post("/admin/login/?next=/admin/", form).status_code == 302
    prove_second_factor(browser, operator.id)
    give_back_connections()
    return browser


def test_autocompletion_offers_nothing_of_another_tenant(
    ground: type[Ground], office: Client, untouched: Callable[[], None]
) -> None:
    term, shown = ground.victim.canary[:6], 0
    for reference in references():
        for path in ("/manage/autocomplete/", "/admin/autocomplete/"):
            for words in ({"term": term}, {"term": ""}, {"term": "", "page": "1"}):
                answer = asked(ground.attacker, "GET", path, "desk", query={**reference, **words})
                assert answer.status in (200, 302, 403, 404), (path, reference, answer.status)
                assert not tells(answer, ground.victim), (path, reference)
                assert answer.status != 200 or path.startswith("/manage/"), "operators' words alone"
        told = office.get("/admin/autocomplete/", {**reference, "term": ground.victim.canary})
        give_back_connections()
        shown += ground.victim.canary in told.content.decode()
    assert shown > 0, "an operator is offered the victim's"


def test_every_action_leaves_others_rows_alone(ground: type[Ground], untouched: Callable[[], None]) -> None:
    """With each action that there is, asked and confirmed, for one row and for all that a filter finds."""
    ids, tried = ground.victim.ids(), 0
    for model, page in manage._registry.items():
        table = f"{model._meta.app_label}_{model._meta.model_name}"
        chosen = ids.get(table, ids["tenant"])
        for action in ("delete_selected", *(page.actions or ())):
            form = {"action": str(action), "_selected_action": chosen[0], "index": "0", "select_across": "1"}
            path = f"/manage/{model._meta.app_label}/{model._meta.model_name}/"
            for more, query in (({}, {}), ({"post": "yes"}, {}), ({"post": "yes"}, {"id": chosen[0]})):
                answer = asked(ground.attacker, "POST", path, "desk", form={**form, **more}, query=query)
                assert answer.status < 500 and not tells(answer, ground.victim), (path, action)
                tried += 1
                restored(ground.attacker)
    assert tried > 30
    untouched()


def restored(side: Side) -> None:
    """`select_across` is the attacker's own rows: their keys, and their place in the tenant."""
    answer = asked(side, "GET", "/manage/", "desk")
    if answer.status != 200 or asked(side, "GET", "/api/v1/accounts/me/", "key").status != 200:
        side.replace_owner()
        side.furnish()
        give_back_connections()


def test_an_action_does_what_it_says_to_ones_own_row(ground: type[Ground]) -> None:
    own = UUID(made(ground.victim, ["key_id"])["key_id"])
    path, form = "/manage/tenants/apikey/", {"action": "revoke", "_selected_action": str(own), "index": "0"}
    assert asked(ground.attacker, "POST", path, "desk", form=form).status < 500
    assert ApiKey.objects.using("engine").get(id=own).revoked_at is None
    give_back_connections()
    assert asked(ground.victim, "POST", path, "desk", form=form).status == 302
    assert ApiKey.objects.using("engine").get(id=own).revoked_at is not None
    give_back_connections()


def test_no_short_cut_leads_from_a_kind_and_an_id_to_a_row(ground: type[Ground], office: Client) -> None:
    """Django's `/r/<kind>/<id>/` would look into any table, and tell by its answer what is there."""
    kinds = list(ContentType.objects.values_list("id", "model"))
    give_back_connections()
    for kind, row in kinds:
        for id in (ground.victim.ids()["tenant"][0], str(ground.victim.principal.user_id), "1"):
            path = f"/manage/r/{kind}/{id}/"
            answer = asked(ground.attacker, "GET", path, "desk")
            assert answer.status == 404 and not tells(answer, ground.victim), (row, answer.status)
        assert office.get(f"/admin/r/{kind}/{ground.victim.principal.user_id}/").status_code == 404, row
        give_back_connections()


# A directory ---------------------------------------------------------------------------------------------------------


def filters(user: dict[str, Any], group: dict[str, Any], canary: str) -> dict[str, list[str]]:
    """Filters that name what the victim's directory holds."""
    name = user["userName"]
    return {
        "Users": [
            f'userName eq "{name}"', f'userName eq "{name.upper()}"', f'userName sw "{canary}"', "userName pr",
            f'id eq "{user["id"]}"', f'emails[value eq "{name}"]', f'emails[type eq "work"].value co "{canary}"',
            f'not (userName ne "{name}")', f'externalId pr or userName co "{canary}"',
            f'groups.value eq "{group["id"]}"',
        ],
        "Groups": [
            f'displayName eq "{group["displayName"]}"', f'displayName co "{canary}"', f'id eq "{group["id"]}"',
            f'members.value eq "{user["id"]}"', f'members[value eq "{user["id"]}"]', "displayName pr",
        ],
    }  # fmt: skip


def test_a_directorys_filters_find_its_own_alone(ground: type[Ground]) -> None:
    ids = made(ground.victim, ["directory_user_id", "directory_group_id"])
    user, group = (
        json.loads(body_of(asked(ground.victim, "GET", f"/scim/v2/{path}", "directory")))
        for path in (f"Users/{ids['directory_user_id']}", f"Groups/{ids['directory_group_id']}")
    )
    found = 0
    for kind, texts in filters(user, group, ground.victim.canary).items():
        for text in texts:
            for method, path, more in (
                ("GET", f"/scim/v2/{kind}", {"query": {"filter": text, "sortBy": "id"}}),
                ("POST", f"/scim/v2/{kind}/.search", {"json": {"filter": text, "attributes": ["id"]}}),
            ):
                other, own = (asked(side, method, path, "directory", **more) for side in sides(ground))
                assert other.status == own.status, (text, other.told[-200:])
                told = other.told.replace(text.encode(), b"").replace(json.dumps(text)[1:-1].encode(), b"")
                assert ground.victim.canary.encode() not in told, text
                assert str(user["id"]).encode() not in told and str(group["id"]).encode() not in told, text
                wanted = {"Users": user, "Groups": group}[kind]["id"]
                found += own.status == 200 and str(wanted).encode() in body_of(own)
    assert found >= 20, "its own directory finds them by the same words"


def sides(ground: type[Ground]) -> tuple[Side, Side]:
    return ground.attacker, ground.victim


def test_a_group_takes_in_no_user_of_another_directory(ground: type[Ground]) -> None:
    theirs = made(ground.victim, ["directory_user_id", "directory_group_id"])
    before = ground.victim.rows()
    own = made(ground.attacker, ["directory_user_id", "directory_group_id"])
    schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
    path = f"/scim/v2/Groups/{own['directory_group_id']}"

    def attempts(user_id: str) -> list[tuple[str, str, dict[str, Any]]]:
        member, name = [{"value": user_id}], f"g{uuid4().hex[:10]}"
        steps = (
            {"op": "add", "path": "members", "value": member},
            {"op": "Add", "value": {"members": member}},
            {"op": "replace", "path": "members", "value": member},
        )
        patches = [("PATCH", path, {"schemas": schemas, "Operations": [step]}) for step in steps]
        whole = {"displayName": name, "members": member}
        return [*patches, ("PUT", path, whole), ("POST", "/scim/v2/Groups", {**whole, "displayName": f"{name}-new"})]

    for method, at, body in attempts(theirs["directory_user_id"]):
        answer = asked(ground.attacker, method, at, "directory", json=body)
        assert answer.status == 400 and not tells(answer, ground.victim), (method, body, answer.told[-200:])
    remove = {"op": "remove", "path": f'members[value eq "{theirs["directory_user_id"]}"]'}
    gone = asked(ground.attacker, "PATCH", path, "directory", json={"schemas": schemas, "Operations": [remove]})
    assert gone.status in (200, 204, 400) and not tells(gone, ground.victim)
    assert ground.victim.rows() == before
    for method, at, body in attempts(own["directory_user_id"]):
        answer = asked(ground.attacker, method, at, "directory", json=body)
        assert answer.status in (200, 201, 204), (method, body, answer.told[-200:])


# Bodies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", [one for one in CONTROLS if one.method in WRITES], ids=str)
def test_foreign_ids_beside_what_a_body_says_do_nothing(ground: type[Ground], control: Control) -> None:
    """The attacker's own request, as its owner may make it, with the victim's ids under every name that ids have."""
    own = made(ground.attacker, control.needs())
    ids, before = ground.victim.ids(), ground.victim.rows()
    foreign = {name: ids[kind][0] for name, kinds in KINDS.items() for kind in kinds if kind in ids}
    foreign |= dict.fromkeys(("file_id", "folder_id", "parent_id", "project_id", "id"), foreign["conversation_id"])
    foreign |= {"owner_id": foreign["user_id"], "user": foreign["user_id"], "tenant": foreign["tenant_id"]}
    filled = control.body(own)
    given = filled.get("json", filled.get("form")) or {}
    more = {name: value for name, value in foreign.items() if name not in given}
    place = "json" if "json" in filled or control.credential in ("key", "directory") else "form"
    try:
        answer = asked(
            ground.attacker, control.method, control.path(own), control.credential, **{place: {**given, **more}}
        )
        assert answer.status < 500 and not tells(answer, ground.victim), f"{control}: {answer.status}"
        assert ground.victim.rows() == before, f"{control} changed rows of the victim"
    finally:
        restored(ground.attacker)


# Lists and fragments -------------------------------------------------------------------------------------------------


def test_a_cursor_of_the_victims_lists_opens_no_list_of_theirs(ground: type[Ground]) -> None:
    """A cursor says where to go on, and in nobody's list in particular: here the attacker has the victim's own."""
    for _ in range(60):
        ground.victim.asked()
        ground.attacker.asked()
    give_back_connections()
    cursor = json.loads(body_of(asked(ground.victim, "GET", "/api/v1/conversations/", "key")))["next"]
    assert cursor and urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    chat = made(ground.victim, ["conversation_id"])["conversation_id"]
    for path, query, credential in (
        ("/api/v1/conversations/", {"before": cursor}, "key"),
        ("/chat/list", {"before": cursor, "count": "500"}, "session"),
        ("/chat/list", {"before": cursor, "group": "today"}, "session"),
    ):
        for headers in ({}, {"HX-Request": "true"}):
            own = asked(ground.victim, "GET", path, credential, query=query, headers=headers)
            other = asked(ground.attacker, "GET", path, credential, query=query, headers=headers)
            assert own.status == 200 and tells(own, ground.victim), path
            assert other.status == 200 and not tells(other, ground.victim), path
    for query in ({"before": "9999"}, {"from": chat}, {"before": "1", "from": chat}):
        for headers in ({}, {"HX-Request": "true", "HX-Current-URL": f"http://testserver/chat/{chat}/"}):
            other = asked(ground.attacker, "GET", f"/chat/{chat}/turns", "session", query=query, headers=headers)
            assert other.status == 404 and not tells(other, ground.victim), query
    for path in ("/api/v1/audit/", "/settings/workspace/audit/"):
        credential = "key" if path.startswith("/api/") else "session"
        for person in (str(ground.victim.principal.user_id), ground.victim.email):
            query = {"before": str(2**62), "actor": person, "person": person, "target": person, "q": person}
            other = asked(ground.attacker, "GET", path, credential, query=query)
            told = other.told.replace(person.encode(), b"")
            assert other.status in (200, 400) and ground.victim.canary.encode() not in told, path


# The sign-in of programs ---------------------------------------------------------------------------------------------


def test_a_hint_at_the_victim_signs_nobody_in_as_them(ground: type[Ground], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program may say of the person it expects, and a token that names them, are nobody's credentials."""
    monkeypatch.setattr(settings, "IDP_OIDC_PRIVATE_KEYS", [{"pem": pem} for pem in _OAUTH_KEYS])
    program, victim, attacker = Program(), session_of(ground.victim.principal), session_of(ground.attacker.principal)
    given = program.sign_in(victim)
    for hints in (
        {"login_hint": ground.victim.email},
        {"id_token_hint": given["id_token"]},
        {"prompt": "none", "id_token_hint": given["id_token"], "login_hint": ground.victim.email},
        {"access_token": given["access_token"], "user": str(ground.victim.principal.user_id)},
        {"tenant": str(ground.victim.principal.tenant_id), "tenant_id": str(ground.victim.principal.tenant_id)},
    ):
        page = attacker.get(program.request(**hints))
        told = page.content.decode().replace(ground.victim.email, "")
        assert page.status_code in (200, 302, 400) and ground.victim.canary not in told, hints
        nobody = Client(REMOTE_ADDR=new_address()).get(program.request(**hints))
        assert nobody.status_code in (302, 400) and "code=" not in nobody.headers.get("Location", ""), hints
    mine = program.sign_in(attacker, login_hint=ground.victim.email)
    give_back_connections()
    for side, token in ((ground.attacker, mine), (ground.victim, given)):
        told_of = program.get("/identity/o/api/userinfo", token["access_token"])
        assert told_of.status_code == 200 and told_of.json()["email"] == side.email
    assert program.opens(given["access_token"]), "the control: the victim's goes on"
    assert bearer(mine["access_token"]) != bearer(given["access_token"])
    give_back_connections()


# Sockets -------------------------------------------------------------------------------------------------------------


def test_no_id_of_the_victims_means_anything_in_any_message(
    ground: type[Ground], untouched: Callable[[], None]
) -> None:
    """Each id of every kind, in each field that holds one, with and without the rest of the message."""
    ids = [one for kind, found in ground.victim.ids().items() for one in found[:2] if len(one) == 36 and kind != "user"]
    assert len(ids) > 20
    token = ground.attacker.credentials["token"][0]["Authorization"].removeprefix("Bearer ")
    welcome = {"type": "auth", "token": token}
    for kind in MESSAGES:
        asked_for = [
            {"type": kind, "client_id": str(uuid4()), "message": "hello", "models": [MODEL], "conversation_id": one}
            | {"stream": one, "generation_id": one, "turn_id": one, "message_id": one, "after": cursor}
            for one in ids
            for cursor in (None, f"1:{one}")[: 2 if kind == "subscribe" else 1]
        ]
        heard = ground.product.socket({}, [welcome, *asked_for])
        assert heard[0]["type"] == "ready"
        assert ground.victim.canary not in json.dumps(heard), kind
        refused = [one["status"] for one in heard if one["type"] == "error"]
        if kind != "unsubscribe":
            assert len(refused) == len(asked_for) and set(refused) <= {400, 404, 409}, (kind, set(refused))
