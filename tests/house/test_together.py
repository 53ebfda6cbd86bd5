"""Tests that share what takes seconds to make are sent to one process, and each group is there."""

from tests import servers, together


def test_every_group_has_tests() -> None:
    for group in together.GROUPS:
        path = servers.ROOT / group
        assert list(path.glob("test_*.py")) if group.endswith("/") else path.is_file(), group


def test_a_group_stays_together_and_others_go_alone() -> None:
    one, other = (f"tests/isolation/test_{name}.py::test_it[a-b]" for name in ("walk", "walls"))
    assert together.group_of(one) == together.group_of(other) == "tests/isolation/"
    alone = "tests/tenants/test_teams.py::test_it"
    assert together.group_of(alone) == alone
    assert together.group_of("tests/house/test_policy_walk.py::test_it") == "tests/house/test_policy_walk.py"
