"""Schemathesis over the published document as one caller, with real ids in the places where they belong."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import schemathesis
from django.db import connections
from schemathesis.core.parameters import ParameterLocation
from schemathesis.engine import events, from_schema
from schemathesis.generation.meta import REQUEST_SHAPE_PROBES, coverage_scenario
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER

from tests.published.workspace import Workspace

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)
# Where OpenAI's and Anthropic's clients ask, and are told errors in their own forms.
OTHERS_FORMS = ("/v1/models", "/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings")
# Of so many calls with good ids, one keeps what was drawn: an id of nothing. Never before the operation has succeeded,
# where it may: some have one call in a run that could.
STRANGER_EVERY = 6


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: by which headers, in which role (None: nobody), and the part of the paths a key is restricted to."""

    name: str
    headers: Mapping[str, str]
    role: str | None
    within: str = "/"


@dataclass(slots=True)
class Report:
    """What one run saw: `statuses` counts the answers by operation and status, `done` are operations that succeeded."""

    caller: Caller
    failures: list[str] = field(default_factory=list)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    well_formed: Counter[bool] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def calls(self) -> int:
        return sum(sum(counted.values()) for counted in self.statuses.values())

    def share_of_success(self) -> float:
        """Of the well-formed calls that this caller may make, the share that did what it was asked."""
        return self.well_formed[True] / max(1, self.well_formed.total())


class Exercise:
    """One run. `phases` is schemathesis' own configuration of its phases."""

    def __init__(self, document: dict[str, Any], url: str, caller: Caller, workspace: Workspace) -> None:
        self._document, self._url, self._caller, self._workspace = document, url, caller, workspace
        self._report = Report(caller)
        self._calls = 0

    def run(self, phases: Mapping[str, Any], *, seconds: float, seed: int = 1) -> Report:
        config = schemathesis.Config.from_dict(
            {
                "base-url": self._url,
                "headers": dict(self._caller.headers),
                "seed": seed,
                "continue-on-failure": True,
                "cache": {"enabled": False},
                "request-timeout": 8,
                # Credentials are alternatives: one left out, or drawn at random beside a good one, is no mistake.
                "generation": {"deterministic": True, "no-shrink": True, "with-security-parameters": False},
                "phases": {"examples": {"enabled": False}, "stateful": {"enabled": False}, **phases},
                "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            }
        )
        schema = schemathesis.openapi.from_dict(self._document, config=config)
        began = time.monotonic()
        with self._hooked():
            stream = from_schema(schema).execute()
            for event in stream:
                self._note(event)
                # A bound of schemathesis' own would be a time to fill: it begins anew until that is over.
                if time.monotonic() - began > seconds:
                    stream.stop()
                    self._report.failures.append(f"{self._caller.name}: not done within {seconds:g} s")
        self._report.seconds = time.monotonic() - began
        return self._report

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        hooks = {"before_call": self._before_call, "after_call": self._after_call}
        for name, hook in hooks.items():
            GLOBAL_HOOK_DISPATCHER.register_hook_with_name(hook, name)
        try:
            yield
        finally:
            for hook in hooks.values():
                GLOBAL_HOOK_DISPATCHER.unregister(hook)

    def _before_call(self, context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        """Put what exists in the place of what was drawn, where a test is not about that place being wrong."""
        try:
            self._place(case)
        finally:
            _give_back_connections()

    def _place(self, case: Any) -> None:
        self._calls += 1
        operation = case.operation.definition.raw
        operation_id = operation["operationId"]
        had_its_turn = operation_id in self._report.done or self._refusal(case.path, operation) is not None
        is_strange = had_its_turn and self._calls % STRANGER_EVERY == 0
        if not is_strange and not _wrong_at(case, ParameterLocation.PATH):
            for name in case.path_parameters or {}:
                case.path_parameters[name] = self._workspace.thing(operation_id, name)
        if isinstance(case.body, dict) and not _wrong_at(case, ParameterLocation.BODY):
            case.body = self._workspace.body(operation_id, dict(case.body))

    def _after_call(self, context: Any, case: Any, response: Any) -> None:
        operation = case.operation.definition.raw
        operation_id, status = operation["operationId"], response.status_code
        self._report.statuses.setdefault(operation_id, Counter())[status] += 1
        if 200 <= status < 300 and response.request.method != "GET":
            self._workspace.used(operation_id)
            if operation_id in ("members_transfer", "tenant_change"):
                self._workspace.set_right()
                _give_back_connections()
        if coverage_scenario(case) in REQUEST_SHAPE_PROBES:
            return
        if 200 <= status < 300:
            self._report.done.add(operation_id)
        wanted = self._refusal(case.path, operation)
        if wanted is None:
            if not any(_wrong_at(case, place) for place in ParameterLocation):
                self._report.well_formed[200 <= status < 300] += 1
        elif not (status == 404 and _wrong_at(case, ParameterLocation.PATH)):
            self._require_refusal(response, wanted)

    def _refusal(self, path: str, operation: Mapping[str, Any]) -> int | None:
        """The status that the document promises this caller at an operation, whatever else is wrong; None: let in."""
        if not operation.get("security"):
            return None
        if self._caller.role is None:
            return 401
        allowed = path.startswith(self._caller.within) and self._caller.role in operation["x-roles"]
        return None if allowed else 403

    def _require_refusal(self, response: Any, status: int) -> None:
        told = f"{self._caller.name}: {response.request.method} {response.request.url}: {response.status_code}"
        if response.status_code != status:
            self._report.failures.append(f"{told} and not {status}")
            return
        kind = response.headers["content-type"][0]
        if urlsplit(response.request.url).path.startswith(OTHERS_FORMS):
            fine = "error" in json.loads(response.content)
        else:
            fine = kind == "application/problem+json" and json.loads(response.content)["status"] == status
        if not fine:
            self._report.failures.append(f"{told} as {kind}: {response.content[:200]!r}")

    def _note(self, event: Any) -> None:
        if isinstance(event, events.ScenarioFinished):
            for case_id, checks in event.recorder.checks.items():
                for check in checks:
                    if check.failure_info is not None:
                        self._report.failures.append(self._told(event.recorder, case_id, check))
        elif isinstance(event, events.NonFatalError | events.FatalError):
            what = (event.label, event.value) if isinstance(event, events.NonFatalError) else event.exception
            self._report.failures.append(f"{self._caller.name}: {what!r:.600}")

    def _told(self, recorder: Any, case_id: str, check: Any) -> str:
        case, failure = recorder.cases[case_id].value, check.failure_info.failure
        interaction = recorder.interactions.get(case_id)
        request = interaction.request if interaction else None
        sent = f"{request.method} {request.uri} {case.body!r:.300}" if request else repr(case)
        answered = f"{interaction.response.status_code} {interaction.response.content[:300]!r}" if interaction else ""
        what = f"{failure.title}: {failure.message}"
        return (
            f"{self._caller.name}: {case.operation.label}: {check.name}: {what}\n  sent {sent}\n  answered {answered}"
        )


def _give_back_connections() -> None:
    """The engine makes a thread for every phase, and a thread that ends keeps what it took from the pool."""
    for connection in connections.all(initialized_only=True):
        connection.close()


def _wrong_at(case: Any, place: ParameterLocation) -> bool:
    return case.meta is not None and bool(case.meta.is_negative_at(place))
