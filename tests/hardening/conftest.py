"""One real server behind HTTPS, without DEBUG and with collected files, for all tests that ask one."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.contrib.staticfiles.finders import get_finders

from tests.product import WebServer, web_server

HTTPS = {"BASE_URL": "https://chat.example.org", "ALLOWED_HOSTS": "chat.example.org,127.0.0.1", "DEBUG": "0"}
BEHIND_A_PROXY = HTTPS | {"TRUSTED_PROXIES": "127.0.0.1", "SECURE_COOKIES": ""}
VISITED = {"Host": "chat.example.org", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}
# Thousands of files that no page of ours asks for.
ADMINISTRATIONS = ("admin/", "unfold/", "drf_spectacular_sidecar/", "rest_framework/")


@pytest.fixture(scope="session")
def behind_https(database: None) -> Iterator[WebServer]:
    data = Path(os.environ["DATA_DIR"]) / "behind-https"
    collect(data / "static")
    with web_server("daphne", **BEHIND_A_PROXY, DATA_DIR=str(data)) as server:
        yield server


def collect(into: Path) -> None:
    """What our own pages ask for, as `collectstatic` leaves it, without hashes in names: making those takes seconds."""
    found = [one for finder in get_finders() for one in finder.list([])]
    ours = {name: storage for name, storage in found if not name.startswith(ADMINISTRATIONS)}
    for name, storage in ours.items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(storage.path(name), into / name)
    told = {"paths": {name: name for name in ours}, "stats": {name: (into / name).stat() for name in ours}}
    (into / "staticfiles.json").write_text(json.dumps({**told, "version": "1.1", "hash": ""}))


@pytest.fixture
def visitor(behind_https: WebServer) -> Iterator[httpx.Client]:
    """Somebody who came through the proxy, over HTTPS."""
    with httpx.Client(base_url=behind_https.url, headers=VISITED, trust_env=False) as client:
        yield client
