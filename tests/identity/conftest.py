"""A company with an identity provider of its own, and browsers that go there and come back."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
import requests
from django.conf import settings
from django.test import Client

from apps.tenants import identity_providers
from apps.tenants.contracts import Principal
from apps.tenants.identity_providers import Change, Provider
from tests.people import new_address
from tests.servers import ROOT

SECRET = "what-the-company-gave-us"
DIRECTORY = "11111111-2222-4333-8444-555555555555"


@dataclass(slots=True)
class Company:
    """The provider's process; `address` without a slash at its end."""

    address: str

    def control(self, **asked: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.address}/control/", json=asked, timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def person(self, login: str | None = None, email: str | None = None, name: str = "Erika") -> "Employee":
        login = login or f"erika-{uuid4().hex[:10]}"
        told = self.control(person={"login": login, "email": email or f"{login}@company.example", "name": name})
        return Employee(email or f"{login}@company.example", told["sub"], told["sessionid"])


@dataclass(frozen=True, slots=True)
class Employee:
    """Somebody with a browser that is signed in at the company."""

    email: str
    sub: str
    session_key: str

    def follow(self, address: str) -> requests.Response:
        """The company's answer to a browser that was sent there."""
        return requests.get(address, cookies={"company": self.session_key}, allow_redirects=False, timeout=10)


@dataclass(slots=True)
class Journey:
    """One browser on its way through a company's sign-in."""

    provider: Provider
    client: Client = field(default_factory=lambda: Client(REMOTE_ADDR=new_address()))

    def to_company(self) -> str:
        answer = self.client.get(f"/sso/{self.provider.slug}/")
        assert answer.status_code == 302, answer.content
        return str(answer["Location"])

    def back(self, employee: Employee, address: str) -> str:
        """Where the company sends the browser back to, without our host."""
        answer = employee.follow(address)
        assert answer.status_code == 302, answer.text
        parts = urlsplit(answer.headers["Location"])
        assert f"{parts.scheme}://{parts.netloc}" == settings.BASE_URL
        return f"{parts.path}?{parts.query}"

    def sign_in(self, employee: Employee) -> Any:
        return self.client.get(self.back(employee, self.to_company()))


def query_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@pytest.fixture(scope="session")
def company_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder: Path = tmp_path_factory.mktemp("company")
    command = [sys.executable, "-m", "tests.identity.company", str(folder)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "PYTHONWARNINGS": ""}
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, (folder / "log").read_text()[-2000:]
            yield Company(address)
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def company(company_process: Company, monkeypatch: pytest.MonkeyPatch) -> Company:
    """The company without faults, and callable from here."""
    monkeypatch.setattr(settings.ENV, "outbound_allow", urlsplit(company_process.address).netloc)
    monkeypatch.setattr(settings, "ENTRA_AUTHORITIES", (company_process.address,), raising=False)
    company_process.control(faults={})
    return company_process


def set_up(company: Company, administrator: Principal, *, issuer: str = "acme", **given: Any) -> Provider:
    """A provider of the administrator's tenant, registered at the company."""
    slug, client_id = f"acme-{uuid4().hex[:10]}", uuid4().hex
    address = f"{given.pop('base_url', settings.BASE_URL)}/sso/{slug}/callback/"
    company.control(client={"id": client_id, "secret": SECRET, "redirect_uris": [address]})
    change: dict[str, Any] = {"issuer": f"{company.address}/{issuer}", "secret": SECRET, "kind": "oidc", **given}
    return identity_providers.add(administrator, Change(slug=slug, name="Acme", client_id=client_id, **change))


@pytest.fixture
def provider(company: Company, alice: Principal) -> Provider:
    return set_up(company, alice)
