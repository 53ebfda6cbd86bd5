"""The OpenAPI document is valid, and the doors are as it says."""

import re
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for  # type: ignore[import-untyped]  # ships no types

from apps.routing.edge.gateway.application import DOORS
from tests.conversations.doors.caller import Caller, problem
from tests.isolation.surface import routes
from tests.product import WebServer
from tests.servers import ROOT

SHORT = {"coverage": {"enabled": False}, "fuzzing": {"generation": {"max-examples": 1, "mode": "positive"}}}
pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def document(caller: Caller) -> dict[str, Any]:
    response = caller.http.get("/api/schema/")
    assert response.status_code == 200
    return dict(yaml.safe_load(response.text))


def test_the_document_is_valid_and_complete(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for schema in document["components"]["schemas"].values():
        validator_for(schema).check_schema(schema)
    assert {"/v1/chat/messages", "/v1/chat/streams/{stream_id}", "/api/v1/conversations/"} <= set(document["paths"])
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_every_door_for_programs_is_published_or_described_elsewhere(document: dict[str, Any]) -> None:
    """A directory's doors describe themselves, as SCIM has it, and its page says that they are not in the document."""
    doors = {re.sub(r"%\(\w+\)s", "{}", route.template) for route in routes()}
    published = {re.sub(r"\{\w+\}", "{}", path) for path in document["paths"]}
    assert published <= doors
    for_programs = {door for door in doors if door.startswith(("/api/v1/", "/v1/"))}
    assert len(for_programs) > 30 and for_programs - published == set()
    directory = {door for door in doors if door.startswith("/scim/")}
    assert len(directory) > 5 and not directory & published
    told = " ".join((ROOT / "docs/scim.md").read_text().split())
    assert "these doors are not in the OpenAPI document" in told
    for door in ("ServiceProviderConfig", "ResourceTypes", "Schemas"):
        assert f"/scim/v2/{door}" in directory and door in told


def test_every_published_door_needs_a_credential_unless_it_says_so(web: WebServer, document: dict[str, Any]) -> None:
    nobody, public = Caller(web.url, None), []
    for path, operations in document["paths"].items():
        address = re.sub(r"\{\w+\}", "01930000-0000-7000-8000-000000000000", path)
        for method, operation in operations.items():
            if operation.get("security"):
                answer = nobody.http.request(method, address)
                if address.startswith("/v1/models"):
                    assert answer.status_code == 401 and answer.json()["error"]["code"] == "unauthenticated"
                elif address in DOORS:
                    assert answer.status_code == 401 and answer.json()["error"]["message"]
                else:
                    problem(answer, 401)
            else:
                public.append(path)
    nobody.close()
    assert public == [f"/api/v1/accounts/token/{rest}" for rest in ("", "refresh/", "revoke/")]
