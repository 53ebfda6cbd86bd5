"""The attack at length; and the attack against a product with a hole, which it has to find."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.isolation.attack import Attack, Ground
from tests.isolation.controls import CONTROLS, Control
from tests.isolation.test_failures import fail_each
from tests.isolation.walk import attempt

LONG = settings(
    max_examples=120,
    stateful_step_count=12,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
HUNT = settings(LONG, max_examples=40, stateful_step_count=20)


def test_the_attacker_finds_no_way_at_length(ground: type[Ground]) -> None:
    Ground.allowed = Ground.denied = 0
    run_state_machine_as_test(Attack, settings=LONG)
    print(f"{Ground.denied} refusals, {Ground.allowed} controls, {ground.product.faults.failed} failed statements")
    # What is drawn is chance, and much of it meets a method that is not there: 260 refusals were seen. That each door
    # refuses is the walk's to show; here it is enough that the attacker was not turned away at the first.
    assert Ground.denied > 150 and Ground.allowed > 300


def test_a_scope_that_outlives_its_transaction_is_noticed(ground: type[Ground]) -> None:
    """As if `set_config` were called without its last argument."""
    ground.product.faults.scope_outlives_transaction = True
    try:
        with pytest.raises(AssertionError, match="outlived its transaction"):
            run_state_machine_as_test(Attack, settings=HUNT)
    finally:
        ground.product.faults.scope_outlives_transaction = False


@pytest.mark.parametrize("kind", ["page", "export", "write", "form"])
def test_whichever_statement_of_any_request_fails_the_next_sees_their_own(ground: type[Ground], kind: str) -> None:
    fail_each(ground, kind)


@pytest.mark.parametrize("control", [control for control in CONTROLS if control.credential == "key"], ids=str)
def test_no_kind_of_credential_opens_what_is_anothers(ground: type[Ground], control: Control) -> None:
    attempt(control, by_all=True)
