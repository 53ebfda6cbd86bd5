"""`python -m benchmarks.plan [--json PATH]`: CPU that one `plan()` takes at fifty deployments, by shape and policy.

Nothing is started and nothing is asked: a catalogue written out by hand, and health as a process knows it that has
called every deployment, one of five of which failed lately.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import django

from benchmarks.figures import Part, as_json, conditions, percentile

_UNUSED = "redis://127.0.0.1:1/0"
_NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"
# The settings ask for them; planning does not.
os.environ.update(
    DJANGO_SETTINGS_MODULE="chatproject.settings",
    SECRET_KEY="x",
    VAULT_KEYS="x",
    API_KEY_PEPPER="x",
    REDIS_URL=_UNUSED,
    REDIS_CACHE_URL=_UNUSED,
    DATABASE_URL=_NO_DATABASE,
    DATABASE_ENGINE_URL=_NO_DATABASE,
)
django.setup()

from apps.routing import fleet, services  # noqa: E402
from apps.routing.contracts import (  # noqa: E402
    Call,
    Catalogue,
    OfferedDeployment,
    OfferedModel,
    OfferedPolicy,
    PolicyKind,
    PriceVersion,
    Profile,
)

AIM_MS = 0.3
# Models and deployments of each; fifty deployments in all.
SHAPES = ((1, 50), (10, 5), (50, 1))
_WARM_UP = 100
_ROUNDS = 20
_PLANS_PER_ROUND = 100


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    part = Part("CPU of one plan at 50 deployments", "One process, nothing pinned; CPU time, not time on the clock.")
    for models, each in SHAPES:
        for kind in (None, *PolicyKind):
            catalogue, call = _catalogue(models, each, kind)
            rounds = _cpu_ms(lambda catalogue=catalogue, call=call: services.plan(call, catalogue))  # type: ignore[misc]
            asked = "a model" if kind is None else kind.value
            part.add(f"{models} models of {each}, {asked}, median", percentile(rounds, 0.5), "ms", aim=AIM_MS)
    print(part.markdown())
    if options.json:
        options.json.write_text(as_json(conditions(), [part]))


def _cpu_ms(plan: Callable[[], object]) -> list[float]:
    """CPU per plan, in milliseconds, of each round."""
    for _ in range(_WARM_UP):
        plan()
    found = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_PLANS_PER_ROUND):
            plan()
        found.append((time.process_time() - began) / _PLANS_PER_ROUND * 1000)
    return found


def _catalogue(models: int, each: int, kind: PolicyKind | None) -> tuple[Catalogue, Call]:
    """A catalogue of that shape, and a call of its first model or of a policy over all of them."""
    tenant = UUID(int=1)
    offered = [_model(number, each) for number in range(models)]
    policies = {} if kind is None else {"pick": OfferedPolicy("pick", "Pick", 1, "", kind)}
    catalogue = Catalogue(tenant, {one.slug: one for one in offered}, policies=policies)
    _know([place.id for one in offered for place in one.deployments])
    question = "Compare bubble sort and merge sort, then prove the bound of the faster one."
    call = Call(
        tenant,
        "pick" if kind else "model-0",
        prompt_bytes=4_000,
        conversation_id=uuid4(),
        difficulty=services.difficulty(question),
    )
    return catalogue, call


def _know(deployments: list[UUID]) -> None:
    """Health of each, as calls would have left it."""
    known = fleet.current()
    for number, deployment_id in enumerate(deployments):
        known.measured(deployment_id, 0.2 + number / 100, 40.0 + number)
        if number % 5 == 0:
            known.note_failure(deployment_id, "provider_overloaded")


def _model(number: int, each: int) -> OfferedModel:
    return OfferedModel(
        slug=f"model-{number}",
        name=f"Model {number}",
        hue=1,
        description="",
        reasoning=False,
        context_tokens=128_000,
        max_output_tokens=8_192,
        created_at=0,
        tier="standard",
        deployments=tuple(_deployment(number, place) for place in range(each)),
        profile=Profile(strength=number % 100),
    )


def _deployment(number: int, place: int) -> OfferedDeployment:
    fresh, spoken = (1 + number) * 10**8, (2 + number) * 10**8
    price = PriceVersion(uuid4(), fresh, fresh, fresh, spoken, spoken, free=False)
    name = f"model-{number}-at-{place}"
    return OfferedDeployment(uuid4(), "bench", "Bench", "openai_compatible", name, True, 1, True, price)


if __name__ == "__main__":
    main()
