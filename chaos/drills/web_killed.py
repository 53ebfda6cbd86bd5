"""Drill 8: kill a web process with 200 clients on it; they come back through the other one."""

import asyncio
import time

from chaos.cluster import Setup
from chaos.trial import Drill, Trial, percentile

CLIENTS = 200
RECONNECTED_SECONDS = 5.0


async def run(trial: Trial) -> None:
    cluster, crowd = trial.cluster, trial.crowd
    count = trial.count(CLIENTS) // 2
    victim = cluster.web_urls[0]
    questions = await crowd.ask_many(count, "steady", follow=False)
    for question in questions:
        crowd.follow(question, devices=2, url=victim)
    await trial.until(lambda: all(any(reader.reading.lanes.values()) for reader in crowd.readers), 15)
    await asyncio.sleep(trial.dice.uniform(0.5, 1.5))

    there = [reader for reader in crowd.readers if reader.url == victim and not reader.done]
    trial.figure("clients", len(there))
    if len(there) < count:
        trial.fail("drill-broken", f"only {len(there)} clients were on the victim")
    killed_at = time.time()
    cluster.kill("web-1")

    await trial.settle(readers_seconds=60)
    waits = []
    for reader in there:
        after = [one for one in reader.reading.breaks if one.at >= killed_at and one.url == victim and not one.wanted]
        waits += [(one.resumed_at or float("inf")) - killed_at for one in after[:1]]
    trial.figure("cut", len(waits))
    trial.at_most("reconnected-late", "reconnected p50", percentile(waits, 50), RECONNECTED_SECONDS)
    trial.at_most("reconnected-late", "reconnected p99", percentile(waits, 99), RECONNECTED_SECONDS)
    if len(waits) < len(there) // 2:
        trial.fail("drill-broken", f"only {len(waits)} of {len(there)} connections were cut")


def _drill(server: str, *mutations: str) -> Drill:
    return Drill(
        f"8-{server}", f"kill {server} with 200 clients on it", run, Setup(web_server=server), mutations=mutations
    )


DRILLS = (_drill("daphne", "resume-off"), _drill("uvicorn"))
