"""Drill 15: more callers than a limit admits, at the native door and at the gateway's, on two web processes at once.

Of a hundred calls of 0.10 dollars a budget of 1.00 admits ten; a bucket of sixty a minute admits sixty, and what a
minute's bucket gives back meanwhile. The same with everything in Redis lost while the first of them are under way. In
the end counter, ledger, attempts and the provider's bill say the same.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import aiohttp

from apps.limits.client import Limits
from apps.limits.contracts import Cold, Level, Scope, ScopeLimits
from chaos.cluster import Caller, Setup
from chaos.offers import DIME_NANOUSD
from chaos.readers import headers
from chaos.trial import Drill, Trial

BUDGET_CALLERS, BUDGET_CALLS = 100, 10
BUCKET_CALLERS, PER_MINUTE = 500, 60
# Of those that come before the loss: few enough that all are admitted.
EARLY_BUDGET_CALLERS, EARLY_BUCKET_CALLERS = 6, 40
QUICK, SLOW = "dime", "slow-dime"
COUNTED_AGAIN_SECONDS = 15.0
REST_SECONDS = 30.0
WRITTEN_SECONDS = 15.0
_ANSWER = aiohttp.ClientTimeout(total=40)


@dataclass(frozen=True, slots=True)
class Quota:
    """The limit, as an operator sets it, and how many callers come."""

    words: tuple[str, ...]
    callers: int
    early: int


BUDGET = Quota(("--budget-day-usd", "1.00"), BUDGET_CALLERS, EARLY_BUDGET_CALLERS)
# With a budget that is never reached: its counter is what is compared with the ledger.
BUCKET = Quota(
    ("--requests-per-minute", str(PER_MINUTE), "--budget-day-usd", "1000"), BUCKET_CALLERS, EARLY_BUCKET_CALLERS
)


@dataclass(slots=True)
class Gathering:
    """What came of each call of one tenant: its status, or what the network made of it; and when the last was told."""

    caller: Caller
    told: Counter[str]
    began: float = 0.0
    ended: float = 0.0

    def decided(self) -> None:
        self.ended = time.monotonic()

    @property
    def admitted(self) -> int:
        return self.told["200"] + self.told["202"]


async def budget(trial: Trial) -> None:
    gathering = await _limited(trial, BUDGET)
    await _come(trial, gathering, trial.count(BUDGET_CALLERS))
    await _judge_budget(trial, gathering)


async def budget_flushed(trial: Trial) -> None:
    gathering = await _limited(trial, BUDGET)
    await _lost_meanwhile(trial, gathering, BUDGET)
    await _judge_budget(trial, gathering)


async def bucket(trial: Trial) -> None:
    gathering = await _limited(trial, BUCKET)
    await _come(trial, gathering, _bucket_callers(trial))
    await _judge_bucket(trial, gathering)


async def bucket_flushed(trial: Trial) -> None:
    gathering = await _limited(trial, BUCKET)
    await _lost_meanwhile(trial, gathering, BUCKET)
    await _judge_bucket(trial, gathering)


def _bucket_callers(trial: Trial) -> int:
    """Never so few that all of them fit in."""
    return max(2 * PER_MINUTE, trial.count(BUCKET_CALLERS))


async def _limited(trial: Trial, quota: Quota) -> Gathering:
    """The first tenant with this quota and no other."""
    caller = trial.cluster.callers[0]
    slug = trial.cluster.value("SELECT slug FROM tenants_tenant WHERE id = %s", caller.tenant_id)
    words = ("--requests-per-minute", "none", *quota.words)
    done = await asyncio.to_thread(trial.cluster.command, "manage", "quota", slug, *words)
    if done.returncode:
        raise RuntimeError(f"the quota was not set: {done.stderr[-1500:]}")
    for url in trial.cluster.web_urls:
        await _greet(trial, caller, url)
    return Gathering(caller, Counter(), time.monotonic())


async def _greet(trial: Trial, caller: Caller, url: str) -> None:
    """The process learns of the tenant, so that no door is late; listing models consumes nothing."""
    async with trial.crowd.session.get(f"{url}/v1/models", headers=headers(caller), timeout=_ANSWER) as response:
        if response.status != 200:
            raise RuntimeError(f"listing models answered {response.status}")


async def _come(trial: Trial, gathering: Gathering, count: int) -> None:
    """So many callers at once, through both doors of both processes, half of them for a slow answer."""
    await asyncio.gather(*(_call(trial, gathering, number) for number in range(count)))


async def _lost_meanwhile(trial: Trial, gathering: Gathering, quota: Quota) -> None:
    """Some calls are over and written, some over, some under way: then Redis loses everything, and the crowd comes."""
    early = asyncio.create_task(_come(trial, gathering, quota.early))
    billed = quota.early // 2

    def quick_are_over() -> bool:
        over = [call for call in trial.cluster.bill() if call["ended_at"] and "slow" not in call["model"]]
        return len(over) >= billed

    if not await trial.until(quick_are_over, 15, every_seconds=0.05):
        trial.fail("drill-broken", f"the first callers were not answered: {dict(gathering.told)}")
    await asyncio.sleep(trial.dice.uniform(0.0, 0.6))
    with trial.cluster.redis() as redis:
        redis.flushall()
    under_way = sum(1 for call in trial.cluster.bill() if call["ended_at"] is None)
    trial.figure("under way at the loss", under_way)
    if not under_way:
        trial.fail("drill-broken", "nothing was under way when Redis lost everything")
    full = trial.count(quota.callers) if quota is BUDGET else _bucket_callers(trial)
    await _come(trial, gathering, full - quota.early)
    await early


async def _call(trial: Trial, gathering: Gathering, number: int) -> None:
    """Ask until the door says yes or no; while counters are rebuilt it says neither."""
    door = _native if number % 2 else _gateway
    url = trial.cluster.web_urls[number // 2 % len(trial.cluster.web_urls)]
    model = (QUICK, SLOW)[number // 4 % 2]
    until = time.monotonic() + COUNTED_AGAIN_SECONDS
    told = "503"
    while told == "503" and time.monotonic() < until:
        try:
            told = await door(trial, gathering, url, model)
        except (aiohttp.ClientError, TimeoutError) as error:
            told = type(error).__name__
        if told == "503":
            gathering.told["came again"] += 1
            await asyncio.sleep(trial.dice.uniform(0.1, 0.4))
    gathering.told[told] += 1


async def _native(trial: Trial, gathering: Gathering, url: str, model: str) -> str:
    question = trial.crowd.question(model)
    question.caller = gathering.caller
    trial.crowd.questions.remove(question)
    sent = headers(gathering.caller) | {"Prefer": "respond-async", "Idempotency-Key": question.key}
    body = {"message": question.text, "models": [model]}
    async with trial.crowd.session.post(
        f"{url}/v1/chat/messages", json=body, headers=sent, timeout=_ANSWER
    ) as response:
        gathering.decided()
        if response.status == 202:
            question.accept(await response.json())
            trial.crowd.questions.append(question)
        return str(response.status)


async def _gateway(trial: Trial, gathering: Gathering, url: str, model: str) -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"The tide, {trial.dice.random()}"}],
        "stream": True,
    }
    async with trial.crowd.session.post(
        f"{url}/v1/chat/completions", json=body, headers=headers(gathering.caller), timeout=_ANSWER
    ) as response:
        gathering.decided()
        await response.read()
        return str(response.status)


async def _judge_budget(trial: Trial, gathering: Gathering) -> None:
    _note(trial, gathering)
    if gathering.admitted > BUDGET_CALLS:
        trial.fail("over-admitted", f"{gathering.admitted} calls of 0.10 were admitted to a budget of 1.00")
    if gathering.admitted < BUDGET_CALLS:
        trial.fail("under-admitted", f"only {gathering.admitted} calls of 0.10 were admitted to a budget of 1.00")
    await _agrees(trial, gathering)


async def _judge_bucket(trial: Trial, gathering: Gathering) -> None:
    seconds = gathering.ended - gathering.began
    _note(trial, gathering)
    trial.figure("within", seconds, " s")
    most = int(PER_MINUTE + seconds * PER_MINUTE / 60)
    if gathering.admitted > most:
        trial.fail("over-admitted", f"{gathering.admitted} were admitted in {seconds:.1f} s, the bucket holds {most}")
    if gathering.admitted < PER_MINUTE:
        trial.fail("under-admitted", f"only {gathering.admitted} were admitted, the bucket holds {PER_MINUTE}")
    await _agrees(trial, gathering)


def _note(trial: Trial, gathering: Gathering) -> None:
    trial.figure("admitted", gathering.admitted)
    trial.figure("of these by the gateway", gathering.told["200"])
    trial.figure("refused", gathering.told["429"])
    trial.figure("came again", gathering.told["came again"])
    strange = {told: times for told, times in gathering.told.items() if told not in _PLAIN}
    if strange:
        trial.fail("answered-strangely", f"callers were answered {strange}")


_PLAIN = ("200", "202", "429", "came again")


async def _agrees(trial: Trial, gathering: Gathering) -> None:
    """Counter = ledger = attempts = bill, once all is at rest."""
    answered = "SELECT count(DISTINCT attempt_id) FROM billing_ledgerentry"

    def written() -> bool:
        calls = trial.cluster.bill()
        return all(call["ended_at"] for call in calls) and trial.cluster.value(answered) >= len(calls)

    if not await trial.until(written, WRITTEN_SECONDS, every_seconds=0.5):
        trial.fail("ledger-count", f"{trial.cluster.value(answered)} lines for {len(trial.cluster.bill())} calls")
    await trial.settle(readers_seconds=30, rest_seconds=REST_SECONDS)
    done = await asyncio.to_thread(
        trial.cluster.command, "manage", "reconcile", "--simulator", trial.cluster.simulator_url
    )
    if done.returncode:
        trial.fail("reconcile", f"{done.stdout[-600:]} {done.stderr[-300:]}")
    spent = await asyncio.to_thread(_counted, trial, gathering)
    if spent != gathering.admitted * DIME_NANOUSD:
        trial.fail("counter", f"the counter says {spent}, admitted were {gathering.admitted} of {DIME_NANOUSD}")


def _counted(trial: Trial, gathering: Gathering) -> int | None:
    """What the tenant's counter of this day says; None where there is none."""
    limits = Limits(trial.cluster.env["REDIS_URL"], prefix=trial.cluster.env.get("REDIS_PREFIX", ""))
    try:
        scope = Scope(Level.TENANT, str(gathering.caller.tenant_id))
        overview = limits.peek(gathering.caller.tenant_id, [ScopeLimits(scope, budget_day_nanousd=10**15)])
        return None if isinstance(overview, Cold) else overview.allowances[0].used
    finally:
        limits.close()


_SETUP = Setup(beat=True)
DRILLS = (
    Drill("15-budget", "100 calls of 0.10, a budget of 1.00", budget, _SETUP, ("admission-in-two-steps",)),
    Drill(
        "15-budget-flushall",
        "the same, Redis lost meanwhile",
        budget_flushed,
        _SETUP,
        ("calls-forgotten", "reservations-forgotten", "ledger-takes-all"),
    ),
    Drill("15-bucket", "500 callers, 60 a minute", bucket, _SETUP, ("admission-in-two-steps",)),
    Drill(
        "15-bucket-flushall",
        "the same, Redis lost meanwhile",
        bucket_flushed,
        _SETUP,
        ("bucket-refilled", "calls-forgotten"),
    ),
)
