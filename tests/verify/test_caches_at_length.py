"""Long histories of questions through the caches: two tenants, two people each, rules that change in between."""

import pytest
from hypothesis import HealthCheck, given, settings

from apps.routing.caches import embedding
from apps.tenants.contracts import Principal
from tests.people import new_member
from tests.routing.meaning import embed
from tests.routing.test_semantic_cache import STEPS, Steps, run_history

_hits: list[int] = []
_people: list[Principal] = []


@given(steps=STEPS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_history_crosses_tenants_or_people(
    alice: Principal, bob: Principal, mallory: Principal, monkeypatch: pytest.MonkeyPatch, steps: Steps
) -> None:
    if not _people:
        _people.extend((alice, bob, mallory, new_member(mallory, "Oscar")))
    monkeypatch.setattr(embedding, "embed", embed)
    _hits.append(run_history(tuple(_people), monkeypatch, steps))


def test_these_histories_held_many_hits() -> None:
    assert sum(_hits) > 50, "the control: a cache that never serves crosses nobody"
