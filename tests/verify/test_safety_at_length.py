"""A megabyte of what is worst for each rule takes no more than its share."""

import time

import pytest

from apps.safety import ALL_RULES, scan
from tests.safety.test_pieces import HOSTILE

MEGABYTE = 1_000_000


def work_seconds(text: str) -> float:
    began = time.thread_time()
    scan(text, ALL_RULES)
    return time.thread_time() - began


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_is_eight_times_an_eighth(unit: str) -> None:
    """With room for a busy machine: what looked back at all that came before would take sixty-four times as long."""
    part, whole = (min(work_seconds(unit * (MEGABYTE // share // len(unit))) for _ in range(2)) for share in (8, 1))
    assert whole <= 8 * 2 * part
