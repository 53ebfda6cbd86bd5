"""A plain stream whose provider dies goes on in the same words, or says that it broke."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.routing.contracts import Call, Candidate, Plan, Prompt, Restarted, TextDelta, ToolCallStarted
from apps.routing.errors import StreamBroken, StreamCut
from apps.routing.providers.base import Delta
from apps.routing.rescue import Continuation, Rescue
from apps.routing.services import plan as planned
from apps.routing.tokens import prompt_bytes
from apps.tenants.contracts import Principal
from tests.processes import Simulator
from tests.routing.exchange import QUESTION, Exchange, RecordingGate, billed, converse, offer
from tests.routing.offers import TENANT, catalogue, deployment, model

PROMPT = Prompt([{"role": "user", "content": QUESTION}])
TEXT = st.text(alphabet="ab \n", min_size=1, max_size=40)


def _candidate(*, prefill: bool) -> Candidate:
    offered = catalogue(model("m", deployment("m"), profile={"prefill": prefill}, context_tokens=100_000))
    (candidate,) = planned(Call(TENANT, "m", prompt_bytes(PROMPT.messages)), offered).candidates
    return candidate


def _sent(text: str, *, set_aside_nanousd: int = 10**12) -> Continuation:
    told = Continuation(PROMPT, set_aside_nanousd)
    told.begin(_candidate(prefill=False))
    assert list(told.joined(TextDelta(text))) == [TextDelta(text)]
    return told


def _read(told: Continuation, deltas: list[Delta]) -> str:
    return "".join(new.text for delta in deltas for new in told.joined(delta) if isinstance(new, TextDelta))


@given(sent=TEXT, more=TEXT, cuts=st.lists(st.integers(0, 80), max_size=5))
def test_a_whole_new_answer_is_joined_where_it_begins_with_what_was_sent(sent: str, more: str, cuts: list[int]) -> None:
    told = _sent(sent)
    assert told.begin(_candidate(prefill=False)).prompt == PROMPT
    whole = sent + more
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    deltas: list[Delta] = [TextDelta(whole[a:b]) for a, b in pairwise(places)]
    assert _read(told, deltas) == more
    told.ended()


@pytest.mark.parametrize("other", ["The sea", "A cab", "A ca", ToolCallStarted("1", "look")])
def test_words_that_do_not_meet_are_never_joined(other: str | ToolCallStarted) -> None:
    told = _sent("A cat sat")
    told.begin(_candidate(prefill=False))
    with pytest.raises(StreamBroken):
        _read(told, [TextDelta(other) if isinstance(other, str) else other])
        told.ended()


@pytest.mark.parametrize(("again", "new"), [(" on the", "on the"), ("on the", "on the"), ("  on", " on"), (" ", "")])
def test_a_beginning_is_given_without_the_space_at_its_end(again: str, new: str) -> None:
    told = _sent("A cat sat ")
    part = told.begin(_candidate(prefill=True))
    assert part.prompt.prefilled
    assert part.prompt.messages[-1] == {"role": "assistant", "content": "A cat sat"}
    assert _read(told, [TextDelta(again)]) == new
    told.ended()


def test_what_was_sent_comes_out_of_the_room_and_the_money() -> None:
    candidate = _candidate(prefill=True)
    part = _sent("word " * 100).begin(candidate)
    assert part.output_tokens_bound == candidate.output_tokens_bound - 167
    # Set aside was just this candidate's bound: the beginning, which it now reads, has to be saved elsewhere.
    tight = _sent("word " * 100, set_aside_nanousd=candidate.amount_bound_nanousd).begin(candidate)
    beginning = len(b',{"role":"assistant","content":""}') + 499
    most = candidate.price.amount_bound_nanousd(candidate.input_tokens_bound + beginning, tight.output_tokens_bound)
    assert tight.output_tokens_bound >= 16 and most <= candidate.amount_bound_nanousd
    short = candidate._replace(output_tokens_bound=170)
    assert not _sent("word " * 100).begin(short).prompt.prefilled, "too little is left to be worth it"


def test_a_model_that_thinks_first_is_not_begun_for() -> None:
    told = Continuation(replace(PROMPT, parameters={"reasoning_effort": "low"}), 10**12)
    told.begin(_candidate(prefill=True))
    told.joined(TextDelta("A cat"))
    assert not told.begin(_candidate(prefill=True)).prompt.prefilled


def test_after_a_tool_call_nobody_goes_on() -> None:
    told = _sent("Let me look. ")
    told.joined(ToolCallStarted("1", "look"))
    with pytest.raises(StreamBroken):
        told.begin(_candidate(prefill=True))


async def _continued(alice: Principal, plan: Plan) -> Exchange:
    exchange = await converse(alice, plan, rescue=Rescue.CONTINUE)
    assert not any(isinstance(chunk, Restarted) for chunk in exchange.chunks)
    return exchange


@pytest.mark.parametrize("adapter", ["openai_compatible", "anthropic"])
async def test_the_next_model_goes_on_from_the_beginning_it_is_given(
    alice: Principal, provider_simulator: Simulator, adapter: str
) -> None:
    names = ["bench+tokens=40+fault=die@20", "bench+tokens=40"]
    plan = await offer(alice, provider_simulator.url, names, adapter=adapter)
    plan = replace(plan, candidates=tuple(one._replace(prefill=True) for one in plan.candidates))
    exchange = await _continued(alice, plan)
    whole = await converse(alice, replace(plan, candidates=plan.candidates[1:]))
    assert exchange.text == whole.text
    died, won = exchange.gate.ends
    assert exchange.finished.parts == (died.attempt_id,)
    first, second = [await billed(provider_simulator.url, end.attempt_id) for end in (died, won)]
    assert 0 < first["tokens_sent"] < 40 and second["tokens_sent"] < 40, "what was said is not said again"
    assert exchange.finished.usage.input_tokens > whole.finished.usage.input_tokens, "it read the beginning"


async def test_without_prefill_the_same_words_are_joined_and_others_are_not(
    alice: Principal, provider_simulator: Simulator
) -> None:
    dying = "bench+tokens=40+fault=die@20"
    same = await _continued(alice, await offer(alice, provider_simulator.url, [dying, "bench+tokens=60"]))
    assert same.text.startswith("".join(await _words(alice, provider_simulator, "bench+tokens=20")))
    assert same.finished.usage.output_tokens == 60
    other = await _continued(
        alice, await offer(alice, provider_simulator.url, [dying, "demo-swift+tps=0"], slug="other")
    )
    assert isinstance(other.error, StreamBroken)
    assert [end.error_code for end in other.gate.ends] == ["stream_cut", "stream_broken"]
    assert other.text != "", "what was sent stays sent"


async def _words(alice: Principal, simulator: Simulator, upstream: str) -> list[str]:
    return [(await converse(alice, await offer(alice, simulator.url, [upstream], slug="words"))).text]


async def test_one_that_dies_before_its_first_word_is_simply_followed(
    alice: Principal, provider_simulator: Simulator
) -> None:
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=12+fault=die@0", "demo-swift+tps=0"])
    exchange = await _continued(alice, plan)
    assert exchange.text and exchange.finished.parts == ()
    closed = RecordingGate(closed_from=2)
    plan = await offer(alice, provider_simulator.url, ["bench+tokens=12+fault=die@0", "bench+tokens=12"], slug="c")
    refused = await converse(alice, plan, gate=closed, rescue=Rescue.CONTINUE)
    assert refused.error is not None and not isinstance(refused.error, StreamCut)
