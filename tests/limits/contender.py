"""A second process that asks for admission as fast as it can: `contender URL TENANT KIND THREADS CALLS LABEL`.

Prints how many were admitted.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from apps.limits.client import Limits
from apps.limits.contracts import Admitted, Call, ScopeLimits
from tests.limits.records import ALICE, DOLLAR, TENANT, Records, budget

KINDS = {
    "budget": ([budget(TENANT, month=DOLLAR), budget(ALICE, month=50 * DOLLAR)], DOLLAR // 10),
    "tokens": ([ScopeLimits(TENANT, tokens_per_month=1_000)], 0),
    "rate": ([ScopeLimits(TENANT, requests_per_minute=60)], 0),
    "parallel": ([ScopeLimits(TENANT, parallel_calls=7)], 0),
}


def contend(limits: Limits, tenant: str, kind: str, *, threads: int, asked: int, label: str) -> int:
    what, amount = KINDS[kind]
    start = threading.Barrier(threads)

    def ask(thread: int) -> int:
        start.wait(10)
        admitted = 0
        for number in range(thread, asked, threads):
            wanted = [Call(f"{label}-{number}", amount, 100)]
            decision = limits.admit_warm(tenant, what, wanted, lease_seconds=60, load=Records().load)
            admitted += isinstance(decision, Admitted)
        return admitted

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(ask, range(threads)))


if __name__ == "__main__":
    url, tenant, kind, threads, asked, label = sys.argv[1:]
    client = Limits(url, prefix="test:")
    print(contend(client, tenant, kind, threads=int(threads), asked=int(asked), label=label))
