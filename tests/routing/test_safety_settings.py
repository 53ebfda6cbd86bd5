"""What a workspace screens: decided by its administrators, told in the audit log, obeyed by the next call."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from apps.problems import Forbidden
from apps.routing import safety_settings, safety_verdicts, selectors
from apps.routing.contracts import OFF, Verdict
from apps.routing.errors import SafetySettingsRefused
from apps.routing.models import SafetyVerdict
from apps.routing.tasks import forget_verdicts
from apps.safety import Action, Category, Direction, Limit
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry
from apps.tenants.scope import tenant_scope

BLOCK = {"secret": {"action": "block", "threshold": 60}}
PAGE = "/settings/workspace/safety/"


def test_nothing_is_screened_until_somebody_decides_it(alice: Principal) -> None:
    assert selectors.snapshot(alice.tenant_id).safety == OFF
    assert OFF.is_off
    shown = safety_settings.shown(alice)
    assert shown["prompt_limits"]["pii"] == {"action": "allow", "threshold": 50}


def test_a_decision_is_kept_obeyed_and_audited(alice: Principal, mallory: Principal) -> None:
    safety_settings.change(alice, {"prompt_limits": BLOCK, "margin_characters": 40})
    safety_settings.change(alice, {"redact_stored": True})
    safety_settings.change(alice, {"redact_stored": True})
    decided = selectors.snapshot(alice.tenant_id).safety
    assert decided.limits(Direction.PROMPT) == {Category.SECRET: Limit(Action.BLOCK, 60)}
    assert (decided.margin_characters, decided.redact_stored, decided.is_off) == (40, True, False)
    assert selectors.snapshot(mallory.tenant_id).safety == OFF
    with tenant_scope(alice.tenant_id):
        told = AuditEntry.objects.filter(tenant_id=alice.tenant_id, action="safety_rules.changed").order_by("seq")
        assert [sorted(entry.data) for entry in told] == [["margin_characters", "prompt_limits"], ["redact_stored"]]


def test_members_decide_and_see_nothing(bob: Principal) -> None:
    for forbidden in (safety_settings.shown, safety_verdicts.latest, safety_verdicts.counted):
        with pytest.raises(Forbidden):
            forbidden(bob)
    with pytest.raises(Forbidden):
        safety_settings.change(bob, {"redact_stored": True})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt_limits", {"poetry": {"action": "block", "threshold": 50}}),
        ("answer_limits", {"pii": {"action": "shout", "threshold": 50}}),
        ("answer_limits", {"pii": {"action": "flag", "threshold": 0}}),
        ("moderation_model", "nobody-offers-this"),
        ("moderation_prompt", "redact"),
        ("moderation_thresholds", {"hate": 101}),
        ("margin_characters", 100_000),
        ("surprise", 1),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(alice: Principal, name: str, value: object) -> None:
    with pytest.raises(SafetySettingsRefused) as refused:
        safety_settings.change(alice, {name: value})
    assert list(refused.value.fields or {}) == [name]


def test_over_rest_and_on_the_page(alice: Principal, bob: Principal, client_of: Callable[[Principal], Client]) -> None:
    browser = client_of(alice)
    changed = browser.patch("/api/v1/safety/", {"answer_limits": BLOCK}, content_type="application/json")
    assert changed.status_code == 200, changed.content
    assert changed.json()["answer_limits"]["secret"] == BLOCK["secret"]
    assert browser.patch("/api/v1/safety/", {}, content_type="application/json").status_code == 400
    form = browser.get(PAGE).context["form"]
    filled = {name: form[name].value() for name in form.fields}
    given = {name: value for name, value in filled.items() if value is not None and value is not False}
    page = browser.post(PAGE, {**given, "prompt_abuse_action": "flag", "prompt_abuse_threshold": 70})
    assert page.status_code == 302, page.content
    shown = browser.get("/api/v1/safety/").json()
    assert shown["prompt_limits"]["abuse"] == {"action": "flag", "threshold": 70}
    assert shown["answer_limits"]["secret"] == BLOCK["secret"]
    assert browser.post(PAGE, {**given, "prompt_abuse_threshold": 400}).status_code == 400
    assert client_of(bob).get(PAGE).status_code == 403


def test_what_was_found_long_ago_is_forgotten(alice: Principal) -> None:
    with tenant_scope(alice.tenant_id):
        for days in (1, safety_verdicts.KEPT_DAYS - 1, safety_verdicts.KEPT_DAYS + 1):
            SafetyVerdict.objects.create(
                tenant_id=alice.tenant_id, user_id=alice.user_id, direction="prompt", category="pii", rule="pii.email",
                action="flag", score=60, threshold=50, at=datetime.now(UTC) - timedelta(days=days),
            )  # fmt: skip
    forget_verdicts()
    with tenant_scope(alice.tenant_id):
        assert SafetyVerdict.objects.filter(tenant_id=alice.tenant_id).count() == 2


def test_what_was_found_is_counted_by_rule(
    alice: Principal, mallory: Principal, client_of: Callable[[Principal], Client]
) -> None:
    found = Verdict(Direction.PROMPT, "pii", "pii.email", Action.FLAG, 60, 50, "It is an e-mail address.", 2)
    with tenant_scope(alice.tenant_id):
        for _ in range(3):
            safety_verdicts.record(alice.tenant_id, alice.user_id, None, [found])
    told = client_of(alice).get("/api/v1/safety/verdicts/").json()
    (counted,) = told["counts"]
    assert (counted["rule"], counted["texts"], counted["passages"]) == ("pii.email", 3, 6)
    assert len(told["latest"]) == 3 and told["latest"][0]["score"] == 60
    page = client_of(alice).get(PAGE)
    (row,) = page.context["found"]
    assert (row["explanation"], row["where"], row["done"]) == ("It is an e-mail address", "Sent by people", "Noted")
    assert "pii.email" in page.content.decode()
    assert "no rule is on" in client_of(mallory).get(PAGE).content.decode()
