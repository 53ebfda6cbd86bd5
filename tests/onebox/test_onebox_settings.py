"""Secrets are made once, `.env` is read, ports are kept, and a taken port is explained."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from apps.tenants.oauth_keys import read_keys
from onebox import credentials, environment_file
from onebox.network import CannotListen, kept_port, listen


def test_secrets_are_made_once_for_their_owner_alone(folder: Path) -> None:
    path = folder / "data" / "secrets.json"
    first = credentials.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    key_id, _, key = first["vault_keys"].partition(":")
    assert key_id == "k1"
    assert len(base64.b64decode(key, validate=True)) == 32
    assert base64.urlsafe_b64decode(key) == base64.b64decode(key)
    assert len(first["secret_key"]) >= 50
    assert len(set(first.values())) == len(first)
    assert credentials.load_or_create(path) == first


def test_a_secret_that_is_new_in_this_version_is_added(folder: Path) -> None:
    path = folder / "secrets.json"
    first = credentials.load_or_create(path)
    path.write_text(json.dumps({key: value for key, value in first.items() if key != "redis_password"}))
    second = credentials.load_or_create(path)
    assert second | {"redis_password": ""} == first | {"redis_password": ""}
    assert second["redis_password"] not in ("", first["redis_password"])


def short_key() -> str:
    """A signing key as this product made them before: RSA of 2048 bits, DER in base64."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    kinds = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return base64.b64encode(key.private_bytes(*kinds)).decode()


def test_before_a_short_signing_key_a_longer_one_is_put_once(folder: Path) -> None:
    path, old = folder / "secrets.json", short_key()
    first = credentials.load_or_create(path)
    path.write_text(json.dumps(first | {"oauth_signing_keys": old}))
    with pytest.raises(ValueError, match="3072 bits"):
        read_keys(old)  # what the product says to it as it is
    second = credentials.load_or_create(path)
    new, _, kept = second["oauth_signing_keys"].partition(",")
    assert kept == old, "what it has signed still verifies"
    assert len(read_keys(second["oauth_signing_keys"])) == 2
    assert new not in (old, first["oauth_signing_keys"])
    same = {"oauth_signing_keys": ""}
    assert second | same == first | same, "every other secret stays"
    assert credentials.load_or_create(path) == second
    assert path.stat().st_mode & 0o777 == 0o600


def test_damaged_secrets_are_never_replaced(folder: Path) -> None:
    path = folder / "secrets.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="restore it from a backup"):
        credentials.load_or_create(path)
    assert path.read_text() == "{"


def test_the_settings_file_is_read_and_the_real_environment_wins(folder: Path) -> None:
    path = folder / ".env"
    path.write_text(
        "# a comment\n\nPORT=9000 # why\nexport A='x # y'\nB=\"two words\"\nEMPTY=\nURL=http://a/#b\nOVER=1\n"
    )
    merged = environment_file.merged(path, {"OVER": "2", "HOST": ""})
    assert merged == {"PORT": "9000", "A": "x # y", "B": "two words", "URL": "http://a/#b", "OVER": "2"}
    assert environment_file.merged(folder / "none", {"A": "1"}) == {"A": "1"}


def test_a_line_that_is_no_setting_is_named() -> None:
    with pytest.raises(ValueError, match=r"line 2 of \.env"):
        environment_file.parse("A=1\nnonsense\n")


def test_every_line_of_the_example_is_a_setting() -> None:
    example = Path(__file__).resolve().parents[2] / ".env.example"
    settings = environment_file.parse(example.read_text())
    assert settings["PORT"] == "8000"
    assert {"DATABASE_ADMIN_URL", "REDIS_URL", "VAULT_KEYS", "DEMO"} <= set(settings)


def test_a_port_is_kept_while_it_is_free(folder: Path) -> None:
    path = folder / "deep" / "port"
    port = kept_port(path)
    assert port < 32_768  # below the range outgoing connections use
    assert kept_port(path) == port
    with listen("127.0.0.1", port):
        other = kept_port(path)
        assert other != port
    assert kept_port(path) == other


def test_a_taken_port_and_a_foreign_address_are_explained() -> None:
    with listen("127.0.0.1", None) as first:
        port = first.getsockname()[1]
        with pytest.raises(CannotListen, match=f"Port {port} .* already in use.*PORT={port + 1} make run"):
            listen("127.0.0.1", port)
    with pytest.raises(CannotListen, match="HOST must be an address of this machine"):
        listen("203.0.113.1", 8000)
