"""docs/faults.md says what drill 11 found, and the policy it declares is the code's."""

from pathlib import Path

import pytest

from apps.routing import errors
from apps.routing.repeating import MAX_ATTEMPTS
from chaos.faults import FAULTS, Fault, paper

ROOT = Path(__file__).resolve().parents[2]
BY_CODE = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ProviderFailed)
}


def test_the_paper_is_the_drills() -> None:
    assert (ROOT / "docs/faults.md").read_text() == paper(), "run FAULTS_PAPER=docs/faults.md DRILL=11 make chaos"


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.code], ids=lambda fault: fault.key)
def test_attempts_follow_from_where_a_failure_may_be_repeated(fault: Fault) -> None:
    repeated = BY_CODE[str(fault.code)].repeat in (errors.Repeat.ANYWHERE, errors.Repeat.ELSEWHERE_FIRST)
    assert fault.attempts == (MAX_ATTEMPTS if repeated else 1)
    assert fault.state == ("partial" if fault.shown else "failed")
