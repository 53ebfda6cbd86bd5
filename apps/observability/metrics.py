"""Every metric of the product, for Prometheus. Seconds, bytes and counts; labels from short, closed lists only.

Never a tenant, user or conversation as a label: they belong in logs and tables. `render` is the body of `/metrics`;
each process answers for itself.
"""

from functools import lru_cache
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

HTTP_REQUESTS = Counter("switchboard_http_requests_total", "HTTP requests answered", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "switchboard_http_request_seconds",
    "Time to the answer's first byte",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
GENERATIONS_STARTED = Counter("switchboard_generations_started_total", "Generations claimed by a worker")
GENERATIONS_FINISHED = Counter(
    "switchboard_generations_finished_total", "Generations that reached a terminal state", ["state"]
)
FIRST_TOKEN_SECONDS = Histogram(
    "switchboard_first_token_seconds",
    "From the claim to the provider's first token",
    buckets=(0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 15, 30, 60),
)
GENERATION_SECONDS = Histogram(
    "switchboard_generation_seconds",
    "From the claim to the terminal state",
    buckets=(0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600),
)
TOKENS = Counter("switchboard_tokens_total", "Tokens billed by providers or estimated", ["kind"])
APPENDS = Counter("switchboard_log_appends_total", "Appends to stream logs by what the log answered", ["result"])
REDIS_LAG_SECONDS = Histogram(
    "switchboard_redis_lag_seconds",
    "From an event's birth to Redis's answer that holds it",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
SLOTS_USED = Gauge("switchboard_worker_slots_used", "Generations this worker is running")
SLOTS = Gauge("switchboard_worker_slots", "Generations this worker may run at once")
LEASE_AGE_SECONDS = Gauge("switchboard_worker_lease_age_seconds", "Since the last renewal of the lease began")
ADMISSIONS = Counter("switchboard_admissions_total", "Admission decisions", ["decision"])
ADMISSIONS_REFUSED = Counter("switchboard_admissions_refused_total", "Refusals by the limit that refused", ["limit"])

DEPLOYMENT_BREAKER = Gauge(
    "switchboard_deployment_breaker", "Breaker of a deployment: 0 closed, 1 half-open, 2 open", ["deployment"]
)
DEPLOYMENT_FIRST_TOKEN_SECONDS = Gauge(
    "switchboard_deployment_first_token_seconds", "Moving mean of the time to the first token", ["deployment"]
)
DEPLOYMENT_TOKENS_PER_SECOND = Gauge(
    "switchboard_deployment_tokens_per_second", "Moving mean of output tokens per second", ["deployment"]
)
DEPLOYMENT_IN_FLIGHT = Gauge(
    "switchboard_deployment_calls_in_flight", "Calls that this process has open at a deployment", ["deployment"]
)
BREAKER_CHANGES = Counter("switchboard_breaker_changes_total", "Breakers that this process saw change", ["to"])
SCREENED = Counter(
    "switchboard_screened_total", "What rules found in prompts and answers", ["direction", "category", "action"]
)
BREAKER_PROBES = Counter("switchboard_breaker_probes_total", "Probes of open breakers, by who made them", ["by"])

GATEWAY_CALLS = Gauge("switchboard_gateway_calls", "Calls of the gateway in flight")
GATEWAY_CAPACITY = Gauge("switchboard_gateway_capacity_calls", "Calls of the gateway that this process takes at once")
GATEWAY_LATE_SECONDS = Gauge("switchboard_gateway_late_seconds", "How late this process is with what it has to do")
GATEWAY_SHED = Counter("switchboard_gateway_shed_total", "Calls told 503 because there was no room for them")

CACHE_LOOK_UPS = Counter("switchboard_cache_look_ups_total", "Look-ups in the answer caches", ["kind", "result"])
CACHE_SAVED_USD = Counter(
    "switchboard_cache_saved_usd_total", "What answers served from a cache would have cost, in dollars", ["kind"]
)

_STATES: Final = frozenset({"completed", "partial", "failed", "cancelled"})
_LIMITS: Final = frozenset(
    {"requests_per_minute", "parallel_calls", "budget_day", "budget_month"}
    | {"tokens_per_minute", "tokens_per_day", "tokens_per_month"}
)
_DECISIONS: Final = frozenset({"admitted", "refused", "cold", "stale", "unavailable"})
_APPENDS: Final = frozenset({"appended", "skipped", "fenced", "gap", "nolog", "failed"})
_CACHES: Final = frozenset({"exact", "semantic"})
_TOKENS: Final = tuple(TOKENS.labels(kind) for kind in ("input", "cached", "output", "reasoning"))

_DIRECTIONS: Final = frozenset({"prompt", "answer"})
_SCREENED: Final = frozenset({"secret", "pii", "abuse", "injection", "moderation"})
_ACTIONS: Final = frozenset({"flag", "redact", "block"})
_BREAKER: Final = frozenset({"open", "closed"})
_PROBERS: Final = frozenset({"call", "lone", "check"})


def screened(direction: str, category: str, action: str) -> None:
    SCREENED.labels(_one_of(direction, _DIRECTIONS), _one_of(category, _SCREENED), _one_of(action, _ACTIONS)).inc()


def _one_of(value: str, known: frozenset[str]) -> str:
    """Labels stay few whatever callers pass."""
    lowered = value.lower()
    return lowered if lowered in known else "other"


def http_answered(method: str, route: str | None, status: int, seconds: float) -> None:
    """`route` is the pattern of the path (`/chat/<uuid>/`), never the path itself; None where none matched."""
    counter, histogram = _http(method_label(method), route or "unmatched", status)
    counter.inc()
    histogram.observe(seconds)


@lru_cache(1024)
def _http(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return HTTP_REQUESTS.labels(method, route, str(status)), HTTP_SECONDS.labels(method, route)


def method_label(method: str) -> str:
    """One of the methods that are known, or `OTHER`."""
    return method.upper() if method.upper() in _METHODS else "OTHER"


def generation_started() -> None:
    GENERATIONS_STARTED.inc()


def generation_finished(state: str, seconds: float | None = None) -> None:
    """`seconds` since the claim, where it is known."""
    GENERATIONS_FINISHED.labels(_one_of(state, _STATES)).inc()
    if seconds is not None:
        GENERATION_SECONDS.observe(seconds)


def first_token(seconds: float | None) -> None:
    """None: no token came."""
    if seconds is not None:
        FIRST_TOKEN_SECONDS.observe(seconds)


def tokens_used(input: int, cached: int, output: int, reasoning: int) -> None:
    """Of one attempt; cached are among the input, reasoning among the output."""
    for child, count in zip(_TOKENS, (input, cached, output, reasoning), strict=True):
        if count:
            child.inc(count)


def cache_looked_up(kind: str, *, hit: bool, saved_nanousd: int = 0) -> None:
    kind = _one_of(kind, _CACHES)
    CACHE_LOOK_UPS.labels(kind, "hit" if hit else "miss").inc()
    if saved_nanousd:
        CACHE_SAVED_USD.labels(kind).inc(saved_nanousd / 1_000_000_000)


def appended(result: str, count: int = 1) -> None:
    APPENDS.labels(_one_of(result, _APPENDS)).inc(count)


def redis_lag(seconds: float) -> None:
    REDIS_LAG_SECONDS.observe(seconds)


def slots(used: int, total: int) -> None:
    SLOTS_USED.set(used)
    SLOTS.set(total)


def lease_age(seconds: float) -> None:
    LEASE_AGE_SECONDS.set(seconds)


def admission(decision: str) -> None:
    _admissions(decision).inc()


@lru_cache(64)
def _admissions(decision: str) -> Counter:
    return ADMISSIONS.labels(_one_of(decision, _DECISIONS))


def admission_refused(limit: str) -> None:
    """Counts the decision too."""
    admission("refused")
    ADMISSIONS_REFUSED.labels(_one_of(limit, _LIMITS)).inc()


def gateway_load(calls: int, capacity: int, late_seconds: float) -> None:
    GATEWAY_CALLS.set(calls)
    GATEWAY_CAPACITY.set(capacity)
    GATEWAY_LATE_SECONDS.set(late_seconds)


def gateway_shed() -> None:
    GATEWAY_SHED.inc()


def breaker_changed(to: str) -> None:
    BREAKER_CHANGES.labels(_one_of(to, _BREAKER)).inc()


def breaker_probe(by: str) -> None:
    BREAKER_PROBES.labels(_one_of(by, _PROBERS)).inc()


def deployment(
    name: str, breaker: int, first_token_seconds: float | None, tokens_per_second: float | None, in_flight: int
) -> None:
    """One deployment now. `name` must be one that an operator offers: a tenant's own would be endlessly many."""
    DEPLOYMENT_BREAKER.labels(name).set(breaker)
    DEPLOYMENT_IN_FLIGHT.labels(name).set(in_flight)
    if first_token_seconds is not None:
        DEPLOYMENT_FIRST_TOKEN_SECONDS.labels(name).set(first_token_seconds)
    if tokens_per_second is not None:
        DEPLOYMENT_TOKENS_PER_SECOND.labels(name).set(tokens_per_second)


def render() -> tuple[bytes, str]:
    """The exposition text and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
