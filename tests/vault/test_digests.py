"""Secrets that are compared and never read back."""

import hashlib
import hmac
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.vault import keyed_digest, new_secret, same_digest


@settings(deadline=None)
@given(pepper=st.text(min_size=1, max_size=40), secret=st.text(max_size=40))
def test_the_digest_is_hmac_sha256(pepper: str, secret: str) -> None:
    expected = hmac.new(pepper.encode(), secret.encode(), hashlib.sha256).digest()
    assert keyed_digest(pepper, secret) == keyed_digest(pepper.encode(), secret) == expected
    assert len(expected) == 32


def test_another_pepper_or_secret_gives_another_digest() -> None:
    digest = keyed_digest("pepper", "secret")
    assert same_digest(digest, keyed_digest("pepper", "secret"))
    assert not same_digest(digest, keyed_digest("paprika", "secret"))
    assert not same_digest(digest, keyed_digest("pepper", "Secret"))


def test_an_empty_pepper_is_refused() -> None:
    for pepper in ("", b""):
        with pytest.raises(ValueError, match="pepper"):
            keyed_digest(pepper, "secret")


def test_new_secrets_are_long_and_different() -> None:
    made = {new_secret("sb_live") for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"sb_live_[A-Za-z0-9]{43}", secret) for secret in made)
    assert len({character for secret in made for character in secret[8:]}) == 62


@pytest.mark.parametrize("prefix", ["", "SB", "1a", "a-b", "x" * 21])
def test_prefixes_are_plain(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        new_secret(prefix)
