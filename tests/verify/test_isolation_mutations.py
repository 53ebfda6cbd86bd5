"""The attack against a product with one wall less: it has to find each hole, and to pass where another wall holds."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from apps.conversations.edge import html
from apps.streaming import hints
from apps.tenants import selectors
from apps.tenants.edge import middleware
from chaos import rows
from tests.isolation import keys, mutations, test_keys, walls
from tests.isolation.attack import Ground
from tests.isolation.controls import CONTROLS, Control
from tests.isolation.product import give_back_connections
from tests.isolation.walk import attempt
from tests.isolation.wires import MESSAGES, attempt_hint, attempt_message
from tests.isolation.world import Side, superuser

Hole = Callable[[], AbstractContextManager[Any]]


def walk() -> None:
    """Every door, until the first that tells or does too much."""
    for control in CONTROLS:
        attempt(control)
    for kind in MESSAGES:
        attempt_message(kind)
    attempt_hint()


@contextmanager
def afterwards(ground: type[Ground]) -> Iterator[None]:
    """Both sides are made anew after a crossing, so that the next hole is found for itself alone."""
    try:
        yield
    finally:
        give_back_connections()
        admin = ground.victim.admin
        ground.victim, ground.attacker = Side.new("a", admin), Side.new("b", admin)
        for side in (ground.victim, ground.attacker):
            side.furnish()
        ground.colleague = ground.victim.colleague()
        give_back_connections()


@pytest.mark.parametrize("hole", mutations.ON_TABLES)
def test_a_hole_in_any_tables_wall_is_found(ground: type[Ground], hole: str) -> None:
    missed = []
    for table in walls.tables(ground.victim, ground.attacker):
        with mutations.on_table(ground.victim.admin, table, hole):
            try:
                walls.check(table, ground.victim, ground.attacker)
            except AssertionError:
                continue
            missed.append(table)
    assert missed == []
    for table in walls.tables(ground.victim, ground.attacker):
        walls.check(table, ground.victim, ground.attacker)


def test_a_reference_by_id_alone_is_found(ground: type[Ground]) -> None:
    walls.tables(ground.victim, ground.attacker)
    for table, column, target in walls.references():
        with (
            mutations.without_reference(ground.victim.admin, table, column),
            pytest.raises(AssertionError, match="can point into another tenant"),
        ):
            walls.check_reference(table, column, target, ground.victim, ground.attacker)


def everything_open() -> ExitStack:
    """No table's wall holds, and no door filters by tenant."""
    stack = ExitStack()
    admin = stack.enter_context(superuser())
    for table in rows.tenant_tables(admin):
        stack.enter_context(mutations.on_table(admin, table, "a policy for everything"))
    stack.enter_context(mutations.forgetful("tenant_id"))
    return stack


def no_mismatch() -> AbstractContextManager[Any]:
    return patch.object(middleware, "_mismatch", lambda request: None)


def one_group() -> AbstractContextManager[Any]:
    return patch.object(hints, "person", lambda tenant_id, user_id: "person.all")


def one_group_per_tenant() -> AbstractContextManager[Any]:
    return patch.object(hints, "person", lambda tenant_id, user_id: f"person.{tenant_id.hex}")


# What is wrong -> how, and by what it is found.
HOLES: dict[str, tuple[Hole, str]] = {
    "no wall and no filter": (everything_open, "tells the victim's"),
    "headers that name another tenant count": (no_mismatch, "naming another tenant in the headers"),
    "hints for everybody": (one_group, "another tenant heard"),
    "hints for the whole tenant": (one_group_per_tenant, "a colleague heard"),
    "colleagues read chats": (
        lambda: mutations.forgetful("user_id", within="apps.conversations.selectors"),
        "^GET /chat/%.*: a colleague got 200",
    ),
    "colleagues change chats": (
        lambda: mutations.forgetful("user_id", within="apps.conversations.services"),
        "rename: others changed",
    ),
    "colleagues cancel answers": (
        lambda: mutations.statement(
            "WHERE id = %s AND user_id = %s", "WHERE id = %s AND coalesce(user_id = %s, true) IS NOT NULL"
        ),
        "cancel: a colleague got 202",
    ),
    "colleagues end programs": (
        lambda: mutations.forgetful("user_id", within="apps.tenants.token_families"),
        "tokens/.*: a colleague got 204",
    ),
    "colleagues end keys": (
        lambda: mutations.forgetful("user_id", within="apps.tenants.services"),
        "api-keys/.*: a colleague got 204",
    ),
    "providers read as the role that crosses": (
        lambda: mutations.crossing("apps.tenants.identity_providers"),
        "company-sign-in/ by session tells the victim's",
    ),
    "keys read as the role that crosses": (
        lambda: mutations.crossing("apps.tenants.selectors"),
        "api-keys/ by key tells the victim's",
    ),
    "the directory reads as the role that crosses": (
        lambda: mutations.crossing("apps.tenants.provisioned"),
        "/Users by directory tells the victim's",
    ),
    "the log is read as the role that crosses": (lambda: mutations.crossing("apps.tenants.audit_log"), "/audit/"),
}


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_behind_the_doors_is_found(ground: type[Ground], name: str) -> None:
    hole, found_by = HOLES[name]
    with afterwards(ground), hole(), pytest.raises(AssertionError, match=found_by):
        walk()


def test_what_all_doors_forget_the_database_still_knows(ground: type[Ground]) -> None:
    """Not one door filters by tenant, and nothing crosses: the wall does not stand on anybody's remembering."""
    with afterwards(ground), mutations.forgetful("tenant_id"):
        walk()


def test_a_cached_answer_that_names_no_tenant_is_found(ground: type[Ground]) -> None:
    class Nameless:
        """The cache as it would be under a key of the text alone."""

        def __getattr__(self, name: str) -> Any:
            method = getattr(html_cache, name)
            return lambda key, *args: method(key.partition("}:")[2], *args)

    html_cache = html.cache
    before = keys.names()
    with patch.object(html, "cache", Nameless()), pytest.raises(keys.Unowned):
        test_keys.busy(ground)
        test_keys.check(ground, before)


def test_a_token_that_need_not_be_of_its_family_is_found(ground: type[Ground]) -> None:
    from tests.isolation import test_tokens

    def anybody(user_id: Any, tenant_id: Any, family: Any) -> Any:
        found = selectors.principal_for(user_id, tenant_id)
        return found and _with_proof(found)

    def _with_proof(found: Any) -> Any:
        return original(found.user_id, found.tenant_id, families[found.user_id])

    original, families = selectors.principal_for_token, {}
    pairs = test_tokens.both_pairs(ground)
    for claims in pairs[:2]:
        families[test_tokens.user_of(claims)] = claims["family"]
    with patch.object(selectors, "principal_for_token", anybody), pytest.raises(AssertionError, match="family"):
        test_tokens.mixed_claims(ground, pairs, "family")
    test_tokens.mixed_claims(ground, pairs, "family")


def test_a_control_that_controls_nothing_is_found(ground: type[Ground]) -> None:
    """A door that refuses everybody would look safe: its owner's request has to succeed."""
    shut = Control("GET", "/api/v1/conversations/%(conversation_id)s/", "key", shows=True)
    with (
        patch.object(Control, "needs", lambda self: ("family",)),
        patch.object(Control, "path", lambda self, ids: f"/api/v1/conversations/{ids['family']}/"),
        pytest.raises(AssertionError, match="its owner got 404"),
    ):
        attempt(shut)
