"""Processes that share a budget admit exactly what it covers, and what they hold when they are killed is absorbed."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

import pytest

from apps.billing import draining, services
from apps.billing.models import LedgerEntry
from apps.tenants.contracts import Principal
from apps.tenants.scope import tenant_scope
from tests.servers import ROOT

CALLERS = 50
LEASE_SECONDS = 2.0
# Fifty callers at once; then the calls that were admitted stay open until the process is killed.
_PROGRAM = """
import asyncio, json, os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
import django; django.setup()
from uuid import UUID
from uuid6 import uuid7
from apps.billing import open_calls, services
from apps.billing.contracts import CallCost
from apps.billing.errors import LimitReached, SnapshotStale
from apps.tenants.contracts import Principal, Via

open_calls.LEASE_SECONDS, open_calls.RENEW_SECONDS = float(sys.argv[3]), 0.2
principal = Principal(UUID(sys.argv[2]), UUID(sys.argv[1]), "member", "", "", "", Via.API_KEY)

async def ask():
    call = CallCost(uuid7(), 100, 100, "m")
    for _ in range(5):
        try:
            await services.open_call(principal, [call])
            return str(call.call_id)
        except SnapshotStale:
            continue
        except LimitReached:
            return None

async def main():
    admitted = await asyncio.gather(*(ask() for _ in range(int(sys.argv[4]))))
    print(json.dumps([one for one in admitted if one]), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def asking(principal: Principal) -> Iterator["subprocess.Popen[str]"]:
    arguments = [principal.tenant_id, principal.user_id, LEASE_SECONDS, CALLERS]
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(principal: Principal, call_ids: set[UUID]) -> list[tuple[UUID, str, bool, int, int]]:
    with tenant_scope(principal.tenant_id):
        rows = LedgerEntry.objects.filter(call_id__in=call_ids)
        return sorted(rows.values_list("call_id", "kind", "estimated", "amount_nanousd", "input_tokens"))


@pytest.mark.parametrize("limits", [{"budget_month_nanousd": 1_000}, {"tokens_per_month": 1_000}])
def test_two_processes_admit_exactly_ten_and_die(alice: Principal, limits: dict[str, int]) -> None:
    services.set_quota(tenant_id=alice.tenant_id, **limits)
    with ExitStack() as stack:
        processes = [stack.enter_context(asking(alice)) for _ in range(2)]
        told = [process.stdout.readline() for process in processes if process.stdout is not None]
        admitted = {UUID(one) for text in told for one in json.loads(text)}
        assert len(admitted) == 10
        time.sleep(LEASE_SECONDS + 0.5)
        draining.drain_settlements(grace_seconds=0.0)
        assert lines(alice, admitted) == []  # they live, and renew
    time.sleep(LEASE_SECONDS + 0.5)
    services.drain_settlements()
    assert lines(alice, admitted) == []  # they may only be slow
    draining.drain_settlements(grace_seconds=0.0)
    draining.drain_settlements(grace_seconds=0.0)
    assert lines(alice, admitted) == sorted((one, "absorbed", True, 100, 100) for one in admitted)
    assert services.differences(alice.tenant_id) == []
