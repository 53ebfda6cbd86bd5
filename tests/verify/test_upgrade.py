"""A data folder that an earlier version left behind: the product starts on it, and what was given out goes on."""

import base64
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from onebox.stack import Stack
from tests.onebox.test_onebox_settings import short_key


@pytest.fixture
def data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="upgrade-"))
    folder.chmod(0o711)  # PostgreSQL may run as another account
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


def started(data: Path) -> list[dict[str, Any]]:
    """Start the product, ask it as a person would, stop it; the keys it published."""
    product = Stack(data, durable=False, beat=False, simulator=False)
    try:
        product.start()
        with httpx.Client(base_url=product.url, trust_env=False, timeout=20) as client:
            assert client.get("/readyz").status_code == 200
            assert client.get("/login/").status_code == 200
            published = client.get("/.well-known/jwks.json")
            assert published.status_code == 200, published.text
            keys: list[dict[str, Any]] = published.json()["keys"]
            return keys
    finally:
        product.stop()


def bits(key: dict[str, Any]) -> int:
    modulus = base64.urlsafe_b64decode(key["n"] + "=" * (-len(key["n"]) % 4))
    return int.from_bytes(modulus).bit_length()


def test_a_folder_with_a_short_signing_key_starts_and_keeps_it_to_verify(data: Path) -> None:
    (new,) = started(data)
    assert bits(new) == 3072
    path = data / "secrets.json"
    before = json.loads(path.read_text())
    path.write_text(json.dumps(before | {"oauth_signing_keys": short_key()}))
    upgraded = started(data)
    assert [bits(key) for key in upgraded] == [3072, 2048]
    assert upgraded[0]["kid"] != new["kid"]
    assert started(data) == upgraded, "the next start changes nothing"
    after = json.loads(path.read_text())
    assert {name for name in before if before[name] != after[name]} == {"oauth_signing_keys"}


def test_a_folder_from_before_a_program_could_be_signed_in_gets_what_is_missing(data: Path) -> None:
    """Secrets that did not exist then are made, and no other is touched: sessions and sealed keys are worth as much."""
    started(data)
    path = data / "secrets.json"
    before = json.loads(path.read_text())
    added = {"jwt_keys", "oauth_signing_keys"}
    path.write_text(json.dumps({name: value for name, value in before.items() if name not in added}))
    (key,) = started(data)
    assert bits(key) == 3072
    after = json.loads(path.read_text())
    assert {name for name in before if before[name] != after[name]} == added
