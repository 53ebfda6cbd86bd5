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
    part = min(work_seconds(unit * (MEGABYTE // 8 // len(unit))) for _ in range(2))
    assert work_seconds(unit * (MEGABYTE // len(unit))) <= 8 * 1.5 * part
