"""Random histories of one breaker: the scripts in Redis against the rules in Python, step by step."""

from itertools import count
from typing import ClassVar
from uuid import UUID, uuid4

import orjson
from django.conf import settings as django_settings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from redis import Redis

from apps.routing.circuit import Answer, Asker, Circuit, Rules, Verdict
from apps.routing.fleet import PROBE, SYNC

RULES = Rules(failures=3, rate_calls=6, window_ms=600, open_ms=100, open_max_ms=300, relapse_ms=500, lease_ms=200)
names = count()
verdicts = st.sampled_from([Verdict.OK, Verdict.FAILED])
dice_throws = st.sampled_from([0, 1, 500, 999])


class Breaker(RuleBasedStateMachine):
    """Redis's clock is replaced by a key: the scripts are the shipped ones but for that line."""

    redis: ClassVar["Redis"]

    @initialize()
    def start(self) -> None:
        self.prefix = f"model{next(names)}:{uuid4().hex}:"
        self.id: UUID = uuid4()
        self.now_ms = 1_700_000_000_000
        self.circuit = Circuit()
        self.tokens: list[str] = []
        self.seen: tuple[str, int] = ("", 0)
        self.pass_time(0)

    def run(self, script: tuple[str, str], *words: object) -> list[str]:
        clock = f"redis.call('LRANGE', '{self.prefix}clock', 0, -1)"
        assert script[0].count("redis.call('TIME')") == 2
        text = script[0].replace("redis.call('TIME')", clock)
        keys = [f"{self.prefix}{{routing}}:{key}" for key in ("circuits", "changed", "meta")]
        reply = self.redis.eval(text, 3, *keys, *map(str, (*RULES.numbers, *words)))
        assert isinstance(reply, list)
        return reply

    def report(self, dice: int, *words: object) -> None:
        epoch, version, now, *told = self.run(SYNC, *self.seen, dice, *words)
        assert int(now) == self.now_ms
        self.seen = epoch, int(version)
        assert told[0] == str(self.id), "whoever changed something is told how it is now"
        self.compare(told[1])

    def compare(self, told: str) -> None:
        fields = orjson.loads(told)
        window = {int(number): tuple(pair) for number, pair in fields["window"].items()}
        assert Circuit.from_fields({**fields, "open": False}, window, 0) == Circuit(
            **{name: getattr(self.circuit, name) for name in Circuit.__slots__ if name != "open"}
        )
        assert fields["open"] == self.circuit.open

    @rule(ms=st.sampled_from([1, 40, 99, 100, 150, 200, 300, 600, 1_000, 2_000]))
    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        key = f"{self.prefix}clock"
        self.redis.delete(key)
        self.redis.rpush(key, str(self.now_ms // 1000), str(self.now_ms % 1000 * 1000))

    @rule(verdict=verdicts, times=st.integers(1, 4), dice=dice_throws)
    def calls_end(self, verdict: Verdict, times: int, dice: int) -> None:
        for _ in range(times):
            self.circuit.took(verdict, RULES, self.now_ms, dice)
        self.report(dice, self.id, verdict.value, times, "")

    @rule(asker=st.sampled_from(list(Asker)))
    def somebody_asks(self, asker: Asker) -> None:
        token = f"t{len(self.tokens)}"
        self.tokens.append(token)
        answer = self.circuit.ask(token, asker, RULES, self.now_ms)
        told = self.run(PROBE, self.id, token, asker.value)
        assert Answer(told[0]) is answer
        assert int(told[2]) == self.now_ms
        self.compare(told[1])

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), verdict=st.sampled_from(list(Verdict)), check=st.booleans(), dice=dice_throws)
    def a_probe_ends(self, data: st.DataObject, verdict: Verdict, check: bool, dice: int) -> None:
        token = data.draw(st.sampled_from(self.tokens[-3:]))
        judge = self.circuit.checked if check else self.circuit.probed
        judge(token, verdict, RULES, self.now_ms, dice)
        self.report(dice, self.id, "checked" if check else "probed", token, verdict.value)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def a_probe_goes_on(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(self.tokens[-3:]))
        self.circuit.renew(token, RULES, self.now_ms)
        self.report(0, self.id, "renew", token, "")


def test_the_scripts_keep_the_rules() -> None:
    Breaker.redis = Redis.from_url(django_settings.REDIS_URL, decode_responses=True)
    try:
        run_state_machine_as_test(
            Breaker,
            settings=settings(
                max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        Breaker.redis.close()
