"""`manage.py evaluate_router FILE --tenant SLUG --policy SLUG`: is routing by difficulty worth its name here?"""

import csv
import json
import math
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.problems import Problem
from apps.routing import evidence
from apps.routing.difficulty import difficulty
from apps.routing.evaluation import CPT_GOALS, Evaluation, Graded, Measured, evaluate, threshold_for
from apps.tenants.models import Tenant


class Command(BaseCommand):
    help = (
        "Measures routing by difficulty on graded questions: a .csv or .jsonl file with the columns question, cheap "
        "and strong, the last two being grades of the cheap and the strong model's answers (more is better). With "
        "--store, a result above chance becomes the evidence without which a policy of the kind “auto” stays off."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--tenant", required=True, help="slug of the tenant whose questions these are")
        parser.add_argument("--policy", required=True, help="slug of the policy of the kind “auto”")
        parser.add_argument("--store", action="store_true", help="keep the result as the policy's evidence")
        parser.add_argument("--seed", type=int, default=0, help="of the resampling (0)")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.using("engine").filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant “{options['tenant']}”.")
        try:
            policy = evidence.auto_policy(tenant.id, options["policy"])
            questions = list(_graded(options["file"]))
            result = evaluate(questions, policy.hard_from, seed=options["seed"])
        except Problem as problem:
            raise CommandError(problem.detail) from problem
        self.stdout.write(_table(result, policy.hard_from))
        self.stdout.write(_advice(questions))
        if not options["store"]:
            return
        if not result.beats_chance:
            raise CommandError("Not stored: this is no better than drawing lots, so the policy stays off.")
        evidence.store(tenant.id, policy.slug, asdict(result))
        self.stdout.write(f"Stored: “{policy.slug}” is on for {tenant.name} from now on.")


def _graded(path: Path) -> Iterator[Graded]:
    """The file's questions, scored as a chat would score them. Raises `CommandError` naming the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}.") from error
    rows: Iterator[Any]
    if path.suffix == ".csv":
        rows = csv.DictReader(StringIO(text, newline=""))
    else:
        rows = (_json(path, number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
    for number, row in enumerate(rows, 1):
        try:
            cheap, strong = float(row["cheap"]), float(row["strong"])
            if not (math.isfinite(cheap) and math.isfinite(strong)):
                raise ValueError("a grade is not finite")
            yield Graded(difficulty(str(row["question"])).score, cheap, strong)
        except (KeyError, TypeError, ValueError) as error:
            raise CommandError(
                f"{path}, question {number}: needs “question”, and numbers “cheap” and “strong” ({error})."
            ) from error


def _json(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise CommandError(f"{path}, line {number} is not JSON: {error}.") from error


def _table(result: Evaluation, hard_from: int) -> str:
    lines = [
        f"{result.questions} questions; mean grade {result.cheap_grade:.3f} cheap, {result.strong_grade:.3f} strong.",
        "",
        f"{'':<14}{'APGR':>6}  {'95 %':<15}{'CPT 50 %':>9}  {'95 %':<15}{'CPT 80 %':>9}  {'95 %':<15}",
        *(_line(name, one) for name, one in _rows(result)),
        f"{'always cheap':<14}{0:>6.3f}",
        f"{'always strong':<14}{1:>6.3f}",
        "",
        f"At the threshold {hard_from}, {result.strong_share:.0%} of the questions go to the strong model and "
        f"{result.recovered:.0%} of the gap is recovered.",
    ]
    return "\n".join(lines)


def _advice(questions: list[Graded]) -> str:
    """Which thresholds would reach what."""
    found = [(goal, *threshold_for(questions, goal)) for goal in CPT_GOALS]
    told = "; ".join(f"{score:g} recovers {goal:.0%} with {share:.0%} of the questions" for goal, score, share in found)
    return f"Of these questions a threshold of {told}. The policy's is its “hard_from”."


def _rows(result: Evaluation) -> list[tuple[str, Measured]]:
    return [("difficulty", result.router), ("random", result.random), ("oracle", result.oracle)]


def _line(name: str, one: Measured) -> str:
    figures = (one.apgr, *one.cpt.values())
    return f"{name:<14}" + "".join(
        f"{figure.value:>{6 if place == 0 else 9}.3f}  {f'{figure.low:.3f} to {figure.high:.3f}':<15}"
        for place, figure in enumerate(figures)
    )
