"""The gateway's benchmark tells what it found the right way round, and what it misses in clear words."""

import asyncio
import socket
from pathlib import Path

import pytest

from benchmarks.gateway import peers, preflight, report, wrk
from benchmarks.gateway.measures import Delays, Measured
from benchmarks.gateway.shapes import ANSWER, FIRST
from benchmarks.gateway.targets import LeftOut, Target
from benchmarks.gateway.upstream import Replay, Way, record
from benchmarks.profile_gateway import Profile
from tests.processes import Simulator


def measured(name: str, rate: float, p50_ms: float, **more: float) -> Measured:
    found = Measured(name, "", requests_per_second=rate, at_rate=Delays(p50_ms, 2 * p50_ms, 3 * p50_ms))
    for field, value in more.items():
        setattr(found, field, value)
    return found


def rows(table: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {label: cells for label, *cells in lines}


FOUND = [
    measured("bare", 6000.0, 1.0),
    measured("Switchboard", 3000.0, 2.5, cpu_ms_per_chunk=0.06, ledger_lines=9, answered=10),
    measured("LiteLLM", 60.0, 15.0, cpu_ms_per_chunk=0.9),
]


def test_ratios_tell_how_much_better_switchboard_is() -> None:
    told = rows(report.ratios(FOUND))
    assert told["requests/s"] == ["0.50", "50.0"]
    assert told["p50 ms at the fixed rate"] == ["0.40", "6.00"], "of delays, less is better"
    assert told["CPU ms/chunk"] == ["–", "15.0"], "nothing is made up where nothing was measured"
    assert "chunks/s" not in told


def test_the_table_tells_what_is_added_over_the_bare_pass_through() -> None:
    told = rows(report.table(FOUND))
    assert told["requests/s on one core"] == ["6,000", "3,000", "60.0"]
    assert told["… added over bare, p50 ms"] == ["–", "1.50", "14.0"]
    assert "first chunk, p50 ms" not in told


def test_aims_are_met_or_missed() -> None:
    part = report.aims(FOUND)
    assert part is not None
    verdicts = {one.name: one.verdict for one in part.figures}
    assert verdicts["requests/s on one core"] == verdicts["requests/s, beside LiteLLM"] == "met"
    assert verdicts["CPU per chunk"] == verdicts["ledger lines for each answer"] == "missed"
    assert report.aims(FOUND[:1]) is None


def test_a_machine_without_the_tools_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(wrk.NoWrk, match="apt install wrk"):
        wrk.executable()
    with pytest.raises(LeftOut, match=r"Node\.js"):
        peers.SET_UPS["portkey"](tmp_path)


async def test_the_replay_says_what_the_simulator_said(provider_simulator: Simulator) -> None:
    whole = await asyncio.to_thread(record, provider_simulator.url, ANSWER, Way(stream=False))
    stream = await asyncio.to_thread(record, provider_simulator.url, FIRST, Way(stream=True))
    assert len(whole.parts) == 1
    assert len(stream.parts) == FIRST.tokens + 1, "the role with the first text, the end with the finish reason"
    recordings = {(ANSWER.model.encode(), Way(False)): whole, (FIRST.model.encode(), Way(True)): stream}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = await asyncio.get_running_loop().create_server(lambda: Replay(recordings, b"{}"), sock=listener)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
        replay = Target("replay", url, {}, "")
        simulated = Target(
            "simulator",
            f"{provider_simulator.url}/v1/chat/completions",
            {"Authorization": "Bearer simulated", "X-Simulator-Options": FIRST.options},
            "",
        )
        with pytest.raises(LeftOut, match="another text"):  # eight tokens where the replay says sixty-four
            await asyncio.to_thread(preflight.check, simulated, replay)
        await asyncio.to_thread(preflight.check, replay, replay)
        weight = await asyncio.to_thread(preflight.wire_bytes, replay, FIRST)
        assert weight == sum(map(len, stream.parts))
        server.close()


def test_a_profile_counts_functions_and_what_they_call() -> None:
    below = "serve (a.py);answer (b.py)"
    profile = Profile.read(
        [f"{below};parse (/x/site-packages/fast/json.py) 3", f"{below};write (b.py) 1", "serve (a.py) 1", ""]
    )
    assert profile.looks == 5
    assert profile.own == {"parse (fast/json.py)": 3, "write (b.py)": 1, "serve (a.py)": 1}
    assert profile.whole == {"answer (b.py)": 4, "parse (fast/json.py)": 3, "write (b.py)": 1}, (
        "not what is on every stack"
    )
