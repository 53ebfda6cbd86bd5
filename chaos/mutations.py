"""Each protection, switched off: a drill that passes all the same proves nothing.

A mutation changes one named function, or the statements that a module sends, in processes of one kind. `expects` is
the violation that the drill must then report; another one does not count.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from chaos import money_patches

_GENERATION = "apps.conversations.generation"


@dataclass(frozen=True, slots=True)
class Mutation:
    """`processes` begin the names of the processes concerned; `statements` run as superuser instead."""

    name: str
    what: str
    expects: str
    processes: str | tuple[str, ...] = "worker-"
    patches: tuple[tuple[str, Callable[[ModuleType], None]], ...] = ()
    statements: tuple[str, ...] = ()


async def _idle(*arguments: Any, **options: Any) -> None:
    """A duty that is never done."""
    await asyncio.Event().wait()


def _set(name: str, value: object) -> Callable[[ModuleType], None]:
    """Replace an attribute of the module, or of a class in it (`Class.attribute`)."""

    def patch(module: ModuleType) -> None:
        holder, _, attribute = name.rpartition(".")
        target = getattr(module, holder) if holder else module
        getattr(target, attribute)  # a renamed function must not turn the mutation into nothing
        setattr(target, attribute, value)

    return patch


def _reworded(name: str, old: str, new: str) -> Callable[[ModuleType], None]:
    """Replace words of a statement that the module holds as a constant."""

    def patch(module: ModuleType) -> None:
        statement = getattr(module, name)
        if statement.count(old) != 1:
            raise RuntimeError(f"{module.__name__}.{name} does not hold {old!r} once")
        setattr(module, name, statement.replace(old, new))

    return patch


def _all(*patches: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def patch(module: ModuleType) -> None:
        for one in patches:
            one(module)

    return patch


def _append_without_fence(module: ModuleType) -> None:
    """A late worker's entries go behind whatever stands in the log."""
    fenced = b"return {1, top_fence}"
    source: bytes = module._SOURCE
    if source.count(fenced) != 1:
        raise RuntimeError("the append script does not refuse lower fences in the way this mutation knows")
    source = source.replace(
        fenced, b"ARGV[1] = string.format('%.0f', top_fence) held = tonumber(top_seq) first_seq = held + 1"
    )
    module._SOURCE = source  # type: ignore[attr-defined]
    module.SHA = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()  # type: ignore[attr-defined]
    module.LOAD = module.command(b"SCRIPT", b"LOAD", source)  # type: ignore[attr-defined]


def _drain_nothing(runtime: Any) -> None:
    """Leave at once; the lease runs out by itself."""


def _hand_nothing_back(runs: list[Any]) -> int:
    return 0


def _take_lost_logs_for_written(module: ModuleType) -> None:
    take_reply = module.LogWriter._take_reply

    def take(self: Any, handle: Any, reply: Any, loop: asyncio.AbstractEventLoop) -> None:
        if isinstance(reply, list) and module.Result.parse(reply).status is module.Status.NOLOG:
            handle.confirm(handle.last_id.seq)
            return
        take_reply(self, handle, reply, loop)

    module.LogWriter._take_reply = take


def _never_try_again(module: ModuleType) -> None:
    class NoSecondTry(module.BackOff):  # type: ignore[name-defined,misc]
        async def wait(self) -> None:
            await asyncio.Event().wait()

    module.BackOff = NoSecondTry  # type: ignore[attr-defined]


def _from_the_start(last_event_id: str, lane: int | None) -> dict[int, object]:
    return {}


async def _ask_nobody(watch: Any) -> None:
    """A round that finds everybody in order."""


def _let_stand(principal: Any) -> None:
    """Whoever was let in may go on."""


def _take_cuts_for_ends(module: ModuleType) -> None:
    deltas = module.deltas

    async def forgiving(request: Any, outgoing: Any, reader: Any, progress: Any) -> AsyncGenerator[Any, None]:
        try:
            async for delta in deltas(request, outgoing, reader, progress):
                yield delta
        except module.StreamCut:
            if not progress.deltas:
                raise
            progress.finish_reason = "stop"

    module.deltas = forgiving  # type: ignore[attr-defined]


def _probe_without_lease(module: ModuleType) -> None:
    """Whoever finds the time come probes, whoever else does."""

    def admits(circuit: Any, asker: Any, now_ms: int) -> bool:
        return not circuit.open or now_ms >= circuit.until_ms

    module.Circuit.admits = admits


def _grant_to_everybody(module: ModuleType) -> None:
    module.Fleet._ask_fleet  # noqa: B018 - a renamed function must not turn the mutation into nothing
    module.Fleet._ask_fleet = lambda fleet, id, token, asker: module.Answer.GRANTED


def _lease_for_an_hour(module: ModuleType) -> None:
    make = module._from_settings

    def eternal() -> Any:
        fleet = make()
        fleet.rules = replace(fleet.rules, lease_ms=3_600_000)
        return fleet

    module._from_settings = eternal


def _blame_nobody(module: ModuleType) -> None:
    module.verdict_on  # noqa: B018 - a renamed function must not turn the mutation into nothing
    module.verdict_on = lambda error: module.Verdict.NONE


_LIST = (
    Mutation(
        "reaper-off",
        "nobody takes work from a dead worker",
        expects="not-terminal",
        patches=((f"{_GENERATION}.caretaker", _set("reap_forever", _idle)),),
    ),
    Mutation(
        "unfenced-log",
        "a worker that was reaped goes on as if it were not, and appends ignore the fence",
        expects="text",
        patches=(
            ("apps.streaming.script", _append_without_fence),
            (f"{_GENERATION}.lease", _set("Lease.fresh", property(lambda lease: True))),
            (f"{_GENERATION}.pipeline", _set("Run.abandon", lambda run: None)),
        ),
    ),
    Mutation(
        "drain-off",
        "a worker that is asked to stop leaves at once",
        expects="cut-short",
        patches=((f"{_GENERATION}.runtime", _set("WorkerRuntime.drain", _drain_nothing)),),
    ),
    Mutation(
        "hand-back-off",
        "a worker that leaves hands nothing back",
        expects="claim-counted",
        patches=((f"{_GENERATION}.runtime", _set("give_back", _hand_nothing_back)),),
    ),
    Mutation(
        "reconnect-off",
        "a writer that lost Redis does not try again",
        expects="resumed-late",
        patches=(("apps.streaming.writer", _never_try_again),),
    ),
    Mutation(
        "replay-off",
        "a lost log is not written again from memory",
        expects="resumed-late",
        patches=(("apps.streaming.writer", _take_lost_logs_for_written),),
    ),
    Mutation(
        "resume-off",
        "the doors ignore Last-Event-ID",
        expects="order",
        processes="web-",
        patches=(("apps.conversations.edge.sse", _set("position", _from_the_start)),),
    ),
    Mutation(
        "claim-unlocked",
        "claims read a queued row without locking it",
        expects="claimed-again",
        patches=((f"{_GENERATION}.claim", _reworded("_CLAIM", "LIMIT 1 FOR UPDATE OF g SKIP LOCKED", "LIMIT 1")),),
    ),
    Mutation(
        "poll-off",
        "no worker looks for rows that no ring announced",
        expects="started-late",
        patches=((f"{_GENERATION}.caretaker", _set("poll", _idle)),),
    ),
    Mutation(
        "gate-open",
        "the gate ignores cancels, and their hints are not heard (the poll is)",
        expects="attempt-after-cancel",
        patches=(
            (f"{_GENERATION}.attempts", _reworded("_BEGIN", "FROM mine WHERE mine.cancel_at IS NULL", "FROM mine")),
            (f"{_GENERATION}.caretaker", _set("obey_cancels", _idle)),
        ),
    ),
    Mutation(
        "cancels-unheard",
        "neither hints nor the poll reach the worker",
        expects="call-open",
        patches=((f"{_GENERATION}.caretaker", _all(_set("obey_cancels", _idle), _set("recheck_cancels", _idle))),),
    ),
    Mutation(
        "cut-is-complete",
        "a stream that was cut counts as finished once there is text",
        expects="truncated",
        patches=(("apps.routing.providers.http_stream", _take_cuts_for_ends),),
    ),
    Mutation(
        "silence-unlimited",
        "no deadline for the first token and between two tokens",
        expects="hung",
        patches=(("apps.routing.providers.clock", _set("Clock.silent_until", lambda clock: clock._total_at)),),
    ),
    Mutation(
        "probe-unleased",
        "probes ask nobody for a lease",
        expects="two-probes",
        patches=(("apps.routing.circuit", _probe_without_lease), ("apps.routing.fleet", _grant_to_everybody)),
    ),
    Mutation(
        "lease-eternal",
        "the lease of a killed prober does not run out",
        expects="back-late",
        patches=(("apps.routing.fleet", _lease_for_an_hour),),
    ),
    Mutation(
        "breakers-off",
        "no failure counts",
        expects="hammered",
        patches=(("apps.routing.breaker", _blame_nobody),),
    ),
    Mutation(
        "watch-off",
        "nobody asks whether those who are connected still may be",
        expects="open-late",
        processes="web-",
        patches=(("apps.tenants.edge.watch", _set("Watch._ask", _ask_nobody)),),
    ),
    Mutation(
        "standing-unasked",
        "a question is accepted from whoever was let in at the door, where keys are remembered",
        expects="accepted-late",
        processes="web-",
        patches=(("apps.tenants.standing", _set("still_stands", _let_stand)),),
    ),
    Mutation(
        "key-unclaimed",
        "nothing stands between two turns of one idempotency key",
        expects="turns",
        processes="",
        statements=("DROP INDEX conversations_turn_idempotency",),
    ),
    Mutation(
        "body-uncompared",
        "a key is answered whatever it is sent with",
        expects="other-body",
        processes="web-",
        patches=(("apps.conversations.turns", money_patches.repeat_whatever_is_asked),),
    ),
    Mutation(
        "key-unheld",
        "at the gateway a key is held once its answer is kept, and not while the call runs",
        expects="calls",
        processes="web-",
        patches=(("apps.routing.repeats.store", money_patches.hold_kept_keys_alone),),
    ),
    Mutation(
        "print-uncompared",
        "at the gateway a key is answered whatever it is sent with",
        expects="other-body",
        processes="web-",
        patches=(("apps.routing.repeats.store", money_patches.compare_no_prints),),
    ),
    Mutation(
        "admission-in-two-steps",
        "what is left is looked at first and held after that",
        expects="over-admitted",
        processes="web-",
        patches=(
            ("apps.limits.client", money_patches.look_then_hold),
            ("apps.limits.async_client", money_patches.look_then_hold),
        ),
    ),
    Mutation(
        "calls-forgotten",
        "stateless calls that are under way are not registered again after a loss",
        expects="over-admitted",
        processes="web-",
        patches=(("apps.limits.async_client", _set("AsyncLimits.register", money_patches.register_nothing)),),
    ),
    Mutation(
        "reservations-forgotten",
        "a rebuild does not read what chats have reserved",
        expects="over-admitted",
        processes=("web-", "worker-", "beat"),
        patches=(("apps.billing.projection", money_patches.load_without_reservations),),
    ),
    Mutation(
        "ledger-takes-all",
        "the ledger writes a line as often as it is told",
        expects="ledger-count",
        processes="",
        statements=("ALTER TABLE billing_ledgerentry DROP CONSTRAINT billing_ledgerentry_attempt_id_key",),
    ),
    Mutation(
        "bucket-refilled",
        "a rebuild finds the buckets of the minute full",
        expects="over-admitted",
        processes=("web-", "worker-", "beat"),
        patches=(("apps.billing.projection", money_patches.load_full_buckets),),
    ),
    Mutation(
        "wall-off",
        "row-level security is off for one table",
        expects="wall",
        processes="",
        statements=("ALTER TABLE conversations_message DISABLE ROW LEVEL SECURITY",),
    ),
)

MUTATIONS = {mutation.name: mutation for mutation in _LIST}
