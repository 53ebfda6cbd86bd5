"""A ledger of a million lines, and what a tenant has used of it lately."""

import time
from datetime import timedelta

import pytest
from django.db import connection
from uuid6 import uuid7

from apps.billing import usage
from apps.billing.usage import WINDOWS, By
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope

# Spread evenly over sixty days: half of them lie in the longest window.
LINES = 1_000_000
_FILL = """
INSERT INTO billing_ledgerentry (
    id, tenant_id, attempt_id, call_id, user_id, api_key_id, kind, provider, model, price_id, input_tokens,
    cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, amount_nanousd, estimated, created_at)
SELECT gen_random_uuid(), %s, gen_random_uuid(), gen_random_uuid(), %s, NULL, 'charge', 'test', 'm' || n %% 7, NULL,
    10, 4, 0, 20, 3, 1000, false, now() - n * interval '60 days' / %s
FROM generate_series(1, %s) n
"""


class _Undo(Exception):
    pass


def test_windows_are_read_by_an_index_in_time(alice: Principal) -> None:
    with pytest.raises(_Undo), tenant_scope(alice.tenant_id):
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(_FILL, [alice.tenant_id, alice.user_id, LINES, LINES])
            cursor.execute("SELECT now()")
            (now,) = cursor.fetchone()
        for name, window in WINDOWS.items():
            plan = usage._lines(alice.tenant_id, window, now).explain()
            if window <= timedelta(hours=24):
                assert "billing_ledger_time" in plan and "Seq Scan" not in plan, plan
            began = time.monotonic()
            used = usage._used(usage._lines(alice.tenant_id, window, now).aggregate(**usage._SUMS))
            seconds = time.monotonic() - began
            print(f"{name}: {used.calls} calls in {seconds * 1e3:.1f} ms")
            expected = int(LINES * window.total_seconds() / (60 * 86_400))
            assert abs(used.calls - expected) <= 1 + expected // 1_000
            assert seconds < (0.25 if window <= timedelta(hours=24) else 10)
        raise _Undo


def test_nothing_is_told_of_nobody(alice: Principal) -> None:
    for by in By:
        assert usage.shares(uuid7(), WINDOWS["30d"], by) == []
