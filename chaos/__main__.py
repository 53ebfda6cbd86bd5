"""`python -m chaos`: run the drills, print a table, and fail where a drill fails or a mutation goes unnoticed.

DRILL=4 (or 4-flushall) chooses, SEED=7 varies instants, SCALE=0.2 makes everything smaller.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from chaos.cluster import Cluster, build_template
from chaos.drills import DRILLS
from chaos.mutations import MUTATIONS, Mutation
from chaos.oracle import Violation
from chaos.trial import Drill, conduct
from onebox.process import StartFailed

SHOWN_DETAILS = 3
# A mutation shows with few answers as well as with many.
MUTATED_SCALE = 0.3


@dataclass(frozen=True, slots=True)
class Result:
    """How one run went. `passed` of a mutated run means that the drill noticed."""

    drill: Drill
    mutation: Mutation | None
    passed: bool
    figures: dict[str, str]
    violations: list[Violation]
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.drill.id} + {self.mutation.name}" if self.mutation else self.drill.id

    @property
    def verdict(self) -> str:
        if self.mutation is not None:
            return "noticed" if self.passed else "UNNOTICED"
        return "pass" if self.passed else "FAIL"


def main() -> int:
    options = _options()
    chosen = [drill for drill in DRILLS if options.drill in ("", drill.id, str(drill.number))]
    if not chosen:
        sys.exit(f"There is no drill {options.drill}. There are: {', '.join(drill.id for drill in DRILLS)}.")
    results = []
    with tempfile.TemporaryDirectory(prefix="switchboard-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's account must pass through
        began = time.monotonic()
        build_template(folder / "template")
        print(f"prepared in {time.monotonic() - began:.0f} s", flush=True)
        for drill in chosen:
            if not options.mutated:
                results.append(_run(drill, None, folder, options))
            for mutation in () if options.no_mutations else drill.mutations:
                results.append(_run(drill, MUTATIONS[mutation], folder, options))
    _print_table(results)
    return 0 if all(result.passed for result in results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--drill", default=os.environ.get("DRILL", ""), help="a number, or the id of one variant")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED", "1")), help="varies every instant")
    parser.add_argument("--scale", type=float, default=float(os.environ.get("SCALE", "1")), help="multiplies counts")
    parser.add_argument("--keep-logs", type=Path, help="a folder for the logs of every run")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--mutated", action="store_true", help="run the mutations alone")
    chosen.add_argument("--no-mutations", action="store_true", help="run the drills alone")
    return parser.parse_args()


def _run(drill: Drill, mutation: Mutation | None, folder: Path, options: argparse.Namespace) -> Result:
    """One run on a cluster of its own."""
    began = time.monotonic()
    name = drill.id if mutation is None else f"{drill.id}-{mutation.name}"
    scale = options.scale if mutation is None else min(options.scale, MUTATED_SCALE)
    figures: dict[str, str] = {}
    cluster = Cluster(folder / "template", folder / name, drill.setup, mutation)
    try:
        cluster.start()
        trial = asyncio.run(conduct(drill, cluster, seed=options.seed, scale=scale))
        figures, violations = trial.figures, trial.violations
    except (StartFailed, OSError) as error:
        violations = [Violation("drill-broken", str(error))]
    finally:
        cluster.stop(options.keep_logs)
    codes = {violation.code for violation in violations}
    passed = not codes if mutation is None else mutation.expects in codes and "drill-broken" not in codes
    result = Result(drill, mutation, passed, figures, violations, time.monotonic() - began)
    _print_run(result)
    return result


def _print_run(result: Result) -> None:
    told = ", ".join(f"{name} {value}" for name, value in result.figures.items())
    print(f"{result.name}: {result.verdict} in {result.seconds:.0f} s ({told})", flush=True)
    shown = result.violations
    if result.mutation is not None and result.passed:
        shown = [violation for violation in shown if violation.code == result.mutation.expects][:1]
    by_code: dict[str, list[str]] = {}
    for violation in shown:
        by_code.setdefault(violation.code, []).append(violation.detail)
    for code, details in by_code.items():
        for detail in details[:SHOWN_DETAILS]:
            print(f"    {code}: {detail}", flush=True)
        if len(details) > SHOWN_DETAILS:
            print(f"    {code}: {len(details) - SHOWN_DETAILS} more", flush=True)


def _print_table(results: list[Result]) -> None:
    print()
    width = max(len(result.name) for result in results)
    for result in results:
        told = ", ".join(f"{name} {value}" for name, value in result.figures.items())
        print(f"{result.name:{width}}  {result.verdict:9}  {result.seconds:4.0f} s  {told}")


if __name__ == "__main__":
    sys.exit(main())
