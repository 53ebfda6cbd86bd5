"""When a breaker opens, whom it lets probe, and what closes it."""

from apps.routing.circuit import Answer, Asker, Circuit, Rules, Verdict

RULES = Rules(failures=3, rate_calls=10, window_ms=60_000, open_ms=1_000, open_max_ms=4_000, relapse_ms=60_000)
START = 1_000_000


def _opened(now: int = START) -> Circuit:
    circuit = Circuit()
    for _ in range(3):
        circuit.took(Verdict.FAILED, RULES, now, 500)
    assert circuit.open
    return circuit


def _probe(circuit: Circuit, verdict: Verdict, now: int) -> None:
    assert circuit.ask("p", Asker.CALL, RULES, now) is Answer.GRANTED
    circuit.probed("p", verdict, RULES, now, 500)


def test_failures_in_a_row_open_it_and_a_success_between_starts_the_row_anew() -> None:
    circuit = Circuit()
    for verdict in (Verdict.FAILED, Verdict.FAILED, Verdict.OK, Verdict.FAILED, Verdict.FAILED):
        circuit.took(verdict, RULES, START, 0)
    assert not circuit.open
    circuit.took(Verdict.FAILED, RULES, START, 0)
    assert circuit.open


def test_a_limit_neither_lengthens_nor_ends_a_row() -> None:
    circuit = Circuit()
    for verdict in (Verdict.FAILED, Verdict.FAILED, *[Verdict.NONE] * 50):
        circuit.took(verdict, RULES, START, 0)
    assert not circuit.open
    circuit.took(Verdict.FAILED, RULES, START, 0)
    assert circuit.open


def test_half_of_many_calls_failing_opens_it_without_any_row() -> None:
    circuit = Circuit()
    for _ in range(4):
        circuit.took(Verdict.OK, RULES, START, 0)
        circuit.took(Verdict.FAILED, RULES, START, 0)
    circuit.took(Verdict.OK, RULES, START, 0)
    assert not circuit.open, "nine calls are fewer than what a share is counted from"
    circuit.took(Verdict.FAILED, RULES, START, 0)
    assert circuit.open


def test_what_happened_before_the_window_does_not_count() -> None:
    circuit = Circuit()
    for verdict in (Verdict.OK, Verdict.FAILED) * 4:
        circuit.took(verdict, RULES, START, 0)
    for verdict in (Verdict.OK, Verdict.FAILED):
        circuit.took(verdict, RULES, START + RULES.window_ms, 0)
    assert not circuit.open, "these two alone are fewer than what a share is counted from"


def test_it_stays_open_longer_each_time_up_to_a_limit_and_never_as_long_for_everybody() -> None:
    circuit, now, durations = _opened(), START, []
    for _ in range(5):
        durations.append(circuit.until_ms - now)
        now = circuit.until_ms
        _probe(circuit, Verdict.FAILED, now)
    assert durations == [1_000, 2_000, 4_000, 4_000, 4_000]
    lengths = set()
    for dice in (0, 500, 999):
        other = Circuit()
        for _ in range(3):
            other.took(Verdict.FAILED, RULES, START, dice)
        lengths.add(other.until_ms - START)
    assert lengths == {750, 1_000, 1_249}


def test_a_relapse_begins_where_the_last_opening_ended() -> None:
    circuit = _opened()
    _probe(circuit, Verdict.OK, circuit.until_ms)
    assert not circuit.open
    for _ in range(3):
        circuit.took(Verdict.FAILED, RULES, circuit.closed_ms + 10, 500)
    assert circuit.until_ms - circuit.opened_ms == 2_000
    _probe(circuit, Verdict.OK, circuit.until_ms)
    for _ in range(3):
        circuit.took(Verdict.FAILED, RULES, circuit.closed_ms + RULES.relapse_ms, 500)
    assert circuit.until_ms - circuit.opened_ms == 1_000


def test_one_probe_at_a_time_and_a_dead_prober_frees_it_by_expiry() -> None:
    circuit = _opened()
    now = circuit.until_ms
    assert circuit.ask("a", Asker.CALL, RULES, now - 1) is Answer.REFUSED
    assert circuit.ask("a", Asker.CALL, RULES, now) is Answer.GRANTED
    assert circuit.ask("b", Asker.LONE, RULES, now) is Answer.REFUSED
    circuit.renew("a", RULES, now + 3_000)
    assert circuit.ask("b", Asker.CALL, RULES, now + RULES.lease_ms) is Answer.REFUSED
    later = now + 3_000 + RULES.lease_ms
    assert circuit.ask("b", Asker.CALL, RULES, later) is Answer.GRANTED
    circuit.probed("a", Verdict.OK, RULES, later, 0)
    assert circuit.open, "whoever lost the lease decides nothing any more"
    circuit.probed("b", Verdict.OK, RULES, later, 0)
    assert not circuit.open


def test_a_probe_that_says_nothing_leaves_it_half_open_for_the_next() -> None:
    circuit = _opened()
    _probe(circuit, Verdict.NONE, circuit.until_ms)
    assert circuit.open
    assert circuit.ask("q", Asker.CALL, RULES, circuit.until_ms) is Answer.GRANTED


def test_a_call_with_nowhere_else_to_go_probes_before_the_time_once_a_second() -> None:
    circuit = _opened()
    assert circuit.ask("a", Asker.LONE, RULES, START + 999) is Answer.REFUSED
    slow = Circuit(open=True, opened_ms=START, until_ms=START + 16_000)
    assert slow.ask("a", Asker.LONE, RULES, START + 1_000) is Answer.GRANTED
    slow.probed("a", Verdict.NONE, RULES, START + 1_500, 0)
    assert slow.ask("b", Asker.LONE, RULES, START + 2_499) is Answer.REFUSED
    assert slow.ask("b", Asker.CALL, RULES, START + 2_500) is Answer.REFUSED
    assert slow.ask("b", Asker.LONE, RULES, START + 2_500) is Answer.GRANTED


def test_what_ends_while_it_is_open_began_before_and_changes_nothing() -> None:
    circuit = _opened()
    until = circuit.until_ms
    for verdict in Verdict:
        circuit.took(verdict, RULES, START + 5, 0)
    assert (circuit.open, circuit.until_ms) == (True, until)


def _check(circuit: Circuit, verdict: Verdict, now: int) -> None:
    assert circuit.ask("c", Asker.CHECK, RULES, now) is Answer.GRANTED
    circuit.checked("c", verdict, RULES, now, 500)


def test_a_model_list_proves_only_what_it_had_disproved() -> None:
    circuit = _opened()
    circuit.until_ms = START + 10_000
    _check(circuit, Verdict.OK, START + 1_000)
    assert circuit.open, "the list was never away: answers may fail all the same"
    _check(circuit, Verdict.FAILED, START + 2_000)
    _check(circuit, Verdict.OK, START + 3_000)
    assert not circuit.open, "back before its time"


def test_checks_of_the_whole_fleet_keep_a_pause_between_them() -> None:
    circuit = _opened()
    assert circuit.ask("c", Asker.CHECK, RULES, START + 999) is Answer.REFUSED
    _check(circuit, Verdict.OK, START + 1_000)
    assert circuit.ask("d", Asker.CHECK, RULES, START + 1_999) is Answer.REFUSED
    assert circuit.ask("d", Asker.CALL, RULES, START + 1_999) is Answer.GRANTED, "a call does not wait for it"


def test_a_failed_check_of_a_half_open_breaker_opens_it_again_but_not_for_ever() -> None:
    circuit = _opened()
    for _ in range(15):
        now = circuit.until_ms
        _check(circuit, Verdict.FAILED, now)
        assert circuit.until_ms > now
    now = circuit.until_ms
    _check(circuit, Verdict.FAILED, now)
    assert circuit.ask("p", Asker.CALL, RULES, now) is Answer.GRANTED, "some answer and list nothing"


def test_a_deployment_that_never_fails_is_remembered_no_longer_than_one_that_does() -> None:
    circuit, rules = Circuit(), Rules()
    for now_ms in range(0, 100 * rules.window_ms, 1_000):
        circuit.took(Verdict.OK, rules, now_ms, 0)
    assert sum(calls for calls, _ in circuit.window.values()) <= 5 * rules.window_ms / 1_000
