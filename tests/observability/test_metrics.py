"""Metrics count what they say, and their labels stay few."""

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from apps.observability import metrics


def _value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_are_counted_by_pattern_not_by_path() -> None:
    labels = {"method": "POST", "route": "/chat/<uuid>/", "status": "200"}
    before = _value("switchboard_http_requests_total", **labels)
    metrics.http_answered("post", "/chat/<uuid>/", 200, 0.2)
    metrics.http_answered("BREW", None, 418, 0.01)
    assert _value("switchboard_http_requests_total", **labels) == before + 1
    assert _value("switchboard_http_requests_total", method="OTHER", route="unmatched", status="418") >= 1


def test_a_generation_leaves_its_marks() -> None:
    names = ("generations_started_total", "first_token_seconds_count", "generation_seconds_count")
    before = [_value(f"switchboard_{name}") for name in names]
    finished = _value("switchboard_generations_finished_total", state="completed")
    metrics.generation_started()
    metrics.first_token(0.4)
    metrics.first_token(None)
    metrics.generation_finished("completed", 3.0)
    metrics.generation_finished("completed")
    assert [_value(f"switchboard_{name}") for name in names] == [value + 1 for value in before]
    assert _value("switchboard_generations_finished_total", state="completed") == finished + 2


def test_quantities_and_levels() -> None:
    before = _value("switchboard_tokens_total", kind="output")
    appends = _value("switchboard_log_appends_total", result="gap")
    lag = _value("switchboard_redis_lag_seconds_count")
    metrics.tokens_used(0, 0, 120, 0)
    metrics.appended("GAP", 2)
    metrics.redis_lag(0.003)
    metrics.slots(12, 500)
    metrics.lease_age(0.7)
    assert _value("switchboard_tokens_total", kind="output") == before + 120
    assert _value("switchboard_log_appends_total", result="gap") == appends + 2
    assert _value("switchboard_redis_lag_seconds_count") == lag + 1
    assert (_value("switchboard_worker_slots_used"), _value("switchboard_worker_slots")) == (12, 500)
    assert _value("switchboard_worker_lease_age_seconds") == 0.7


def test_refusals_are_decisions_too() -> None:
    decisions = _value("switchboard_admissions_total", decision="refused")
    refusals = _value("switchboard_admissions_refused_total", limit="budget_month")
    metrics.admission("admitted")
    metrics.admission_refused("budget_month")
    assert _value("switchboard_admissions_total", decision="refused") == decisions + 1
    assert _value("switchboard_admissions_refused_total", limit="budget_month") == refusals + 1


@pytest.mark.parametrize(
    "call", [metrics.generation_finished, metrics.admission, metrics.admission_refused, metrics.appended]
)
def test_unknown_label_values_do_not_multiply_series(call: object) -> None:
    assert callable(call)
    call("anything-1")
    before = metrics.render()[0].count(b"\n")
    for number in range(50):
        call(f"anything-{number}")
    assert metrics.render()[0].count(b"\n") == before
    assert b"anything" not in metrics.render()[0]


def test_the_page_can_be_read_by_prometheus() -> None:
    metrics.http_answered("GET", "/healthz", 200, 0.001)
    body, content_type = metrics.render()
    families = {family.name for family in text_string_to_metric_families(body.decode())}
    assert content_type.startswith("text/plain")
    assert {"switchboard_http_requests", "switchboard_first_token_seconds", "switchboard_worker_slots_used"} <= families


def test_no_label_names_a_person_or_tenant() -> None:
    used = {label for family in REGISTRY.collect() for sample in family.samples for label in sample.labels}
    assert not {label for label in used if label.endswith("_id") or label in {"tenant", "user", "conversation", "key"}}
