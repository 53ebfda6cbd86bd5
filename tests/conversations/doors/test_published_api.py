"""The OpenAPI document is valid, and no input that can be made from it brings a door down."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for  # type: ignore[import-untyped]  # ships no types

from apps.tenants import services
from apps.tenants.contracts import Principal
from tests.conversations.doors.caller import Caller, problem
from tests.product import WebServer

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


def test_every_published_door_needs_a_credential_unless_it_says_so(web: WebServer, document: dict[str, Any]) -> None:
    nobody, public = Caller(web.url, None), []
    for path, operations in document["paths"].items():
        address = re.sub(r"\{\w+\}", "01930000-0000-7000-8000-000000000000", path)
        for method, operation in operations.items():
            if operation.get("security"):
                problem(nobody.http.request(method, address), 401)
            else:
                public.append(path)
    nobody.close()
    assert public == [f"/api/v1/accounts/token/{rest}" for rest in ("", "refresh/", "revoke/")]


def test_no_published_input_is_a_fault_of_ours(
    caller: Caller, web: WebServer, alice: Principal, tmp_path: Path
) -> None:
    answer = caller.ask("quick").only.end.data
    names = {"stream_id": answer["turn_id"], "key_id": services.create_api_key(alice, "spare").id}
    known = {name: answer[name] for name in ("conversation_id", "generation_id")} | names
    config = tmp_path / "schemathesis.toml"
    config.write_text("[parameters]\n" + "".join(f'{name} = "{value}"\n' for name, value in known.items()))
    options = "--phases examples,coverage --checks not_a_server_error --seed 1 --exclude-path-regex accounts|models"
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            *("--config-file", str(config), "run", f"{web.url}/api/schema/", "--no-color", "--request-timeout", "10"),
            *("--header", f"Authorization: {caller.http.headers['Authorization']}", *options.split()),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert cases is not None and int(cases[1]) > 100 and cases[1] == cases[2]
