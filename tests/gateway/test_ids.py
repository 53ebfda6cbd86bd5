"""Ids of calls: version 7, true to the clock however many are made."""

import time
from uuid import RFC_4122

from apps.routing.stateless.ids import new_id


def test_ids_are_of_version_7_and_never_of_a_time_to_come() -> None:
    before_ms = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(20_000)]
    after_ms = time.time_ns() // 1_000_000
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    assert all(before_ms <= one.int >> 80 <= after_ms for one in ids)
    assert len(set(ids)) == len(ids)
