"""A directory, over real HTTP, at the doors of the whole product."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from django.test import override_settings

from apps.tenants import services
from apps.tenants.contracts import Principal, Scope
from tests.product import WebServer, web_server

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Directory:
    """Speaks SCIM with one tenant's key."""

    url: str
    key: str
    content_type: str = "application/scim+json"

    def __call__(self, method: str, path: str, body: Any = None, **query: str) -> Answer:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}", "Accept": "application/scim+json"}
        if data is not None:
            headers["Content-Type"] = self.content_type
        url = f"{self.url}/scim/v2{path}" + (f"?{urlencode(query)}" if query else "")
        request = Request(url, data=data, headers=headers, method=method)
        try:
            with urlopen(request, timeout=20) as response:
                return _answer(response.status, response.headers, response.read())
        except HTTPError as error:
            with error:
                return _answer(error.code, error.headers, error.read())

    def user(self, name: str | None = None, /, **more: Any) -> Any:
        """A new user, as answered."""
        name = name or f"{uuid4().hex[:12]}@example.org"
        answer = self("POST", "/Users", {"schemas": [USER], "userName": name, **more})
        assert answer.status == 201, answer.body
        return answer.body

    def patch(self, path: str, *operations: Mapping[str, Any]) -> Answer:
        return self("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    if body:
        assert headers["Content-Type"] == "application/scim+json", body[:300]
    return Answer(status, headers, json.loads(body) if body else None)


@pytest.fixture(autouse=True)
def whole_product(doors: None) -> Iterator[None]:
    with override_settings(ROOT_URLCONF="chatproject.urls"):
        yield


@pytest.fixture(scope="session")
def scim_server(database: None) -> Iterator[WebServer]:
    with web_server("uvicorn") as server:
        yield server


def key_of(principal: Principal) -> str:
    return services.create_api_key(principal, "directory", [Scope.SCIM]).secret


@pytest.fixture
def directory(scim_server: WebServer, alice: Principal) -> Directory:
    """The directory of Alice's tenant."""
    return Directory(scim_server.url, key_of(alice))


@pytest.fixture
def other_directory(scim_server: WebServer, mallory: Principal) -> Directory:
    """The directory of Mallory's tenant."""
    return Directory(scim_server.url, key_of(mallory))
