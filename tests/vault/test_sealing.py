"""Sealed text opens where it belongs, under the keys we have, and nowhere else."""

import base64
import os
import pickle
import traceback
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.vault import BadKeys, Tampered, UnknownKey, Vault, VaultError, fingerprint

SECRET = "sk-live-correct-horse-battery"
CONTEXT = ("tenant-1", "row-9", "sealed_key")


def key(byte: int) -> str:
    return base64.b64encode(bytes([byte]) * 32).decode()


OLD, NEW = f"k1:{key(1)}", f"k2:{key(2)}"
vault = Vault(f"{NEW},{OLD}")


@settings(deadline=None)
@given(text=st.text(), context=st.lists(st.text(), min_size=1, max_size=4).map(tuple))
def test_what_is_sealed_opens_again(text: str, context: tuple[str, ...]) -> None:
    token = vault.seal(text, context=context)
    assert vault.open(token, context=context) == text
    assert token.startswith("v1:k2:") and not vault.needs_rotation(token)


def test_the_same_text_never_looks_the_same() -> None:
    assert len({vault.seal(SECRET, context=CONTEXT) for _ in range(100)}) == 100


@settings(deadline=None)
@given(
    sealed_for=st.lists(st.text(max_size=5), min_size=1, max_size=4).map(tuple),
    opened_for=st.lists(st.text(max_size=5), max_size=4).map(tuple),
)
def test_another_context_stays_shut(sealed_for: tuple[str, ...], opened_for: tuple[str, ...]) -> None:
    token = vault.seal(SECRET, context=sealed_for)
    if sealed_for != opened_for:
        with pytest.raises(Tampered):
            vault.open(token, context=opened_for)


def test_parts_of_a_context_cannot_be_shifted() -> None:
    with pytest.raises(Tampered):
        vault.open(vault.seal(SECRET, context=("ab", "c")), context=("a", "bc"))


@settings(deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), character=st.sampled_from("Aa0-_:=. "))
def test_any_changed_character_is_noticed(place: float, character: str) -> None:
    token = vault.seal(SECRET, context=CONTEXT)
    position = int(place * len(token))
    # Each sealing differs, so what is drawn must not depend on it.
    if character == token[position]:
        character = "B"
    changed = token[:position] + character + token[position + 1 :]
    with pytest.raises(VaultError):
        vault.open(changed, context=CONTEXT)


@settings(deadline=None)
@given(st.text())
def test_no_text_from_elsewhere_opens(text: str) -> None:
    with pytest.raises(VaultError):
        vault.open(text, context=CONTEXT)


@pytest.mark.parametrize("token", ["", "v1", "v1:k2::", "v2:k2:AAAAAAAAAAAAAAAA:" + "A" * 22, "v1:k2:AA:" + "A" * 30])
def test_malformed_text_needs_no_rotation_but_attention(token: str) -> None:
    with pytest.raises(Tampered):
        vault.needs_rotation(token)


def test_rotation() -> None:
    before = Vault(OLD)
    token = before.seal(SECRET, context=CONTEXT)
    assert not before.needs_rotation(token)
    assert vault.needs_rotation(token)
    renewed = vault.seal(vault.open(token, context=CONTEXT), context=CONTEXT)
    after = Vault(NEW)
    assert after.open(renewed, context=CONTEXT) == SECRET and not after.needs_rotation(renewed)
    with pytest.raises(UnknownKey, match="k1"):
        after.open(token, context=CONTEXT)


def test_a_key_under_another_keys_name_opens_nothing() -> None:
    token = vault.seal(SECRET, context=CONTEXT)
    with pytest.raises(Tampered):
        Vault(f"k2:{key(7)}").open(token, context=CONTEXT)
    # The name is authenticated as well: the same bytes under two names are two keys.
    with pytest.raises(Tampered):
        Vault(f"k3:{key(2)}").open(token.replace("v1:k2:", "v1:k3:"), context=CONTEXT)


def test_keys_may_be_written_in_either_alphabet_and_unpadded() -> None:
    raw = b"\xfb\xff" * 16
    standard = base64.b64encode(raw).decode()
    token = Vault(f"k:{standard}").seal(SECRET, context=CONTEXT)
    for written in (base64.urlsafe_b64encode(raw).decode(), standard.rstrip("=")):
        assert Vault(f"k:{written}").open(token, context=CONTEXT) == SECRET


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "k1",
        f"{OLD},{OLD}",
        f"a b:{key(1)}",
        "k1:AAAA",
        f"{OLD},",
        "k1:!!!!",
        "k1:" + "A" * 41,
        f"k1:{key(1)[:-3]}ü",
    ],
)
def test_bad_key_lists_are_refused_without_being_quoted(keys: str) -> None:
    with pytest.raises(BadKeys) as caught:
        Vault(keys)
    shown = _report(caught.value)
    assert key(1)[:20] not in shown
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def _report(error: BaseException) -> str:
    """What an error reporter would record of our own frames, local variables included."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in told.stack if "apps/vault" in frame.filename]
    assert ours
    return "".join(told.format_exception_only()) + "".join(str(frame.locals) for frame in ours)


@pytest.mark.parametrize(
    "act",
    [
        lambda: vault.open(vault.seal(SECRET, context=CONTEXT), context=("other",)),
        lambda: vault.seal(SECRET, context=()),
        lambda: Vault(NEW).open(Vault(OLD).seal(SECRET, context=CONTEXT), context=CONTEXT),
    ],
)
def test_reports_of_errors_hold_no_secret(act: Callable[[], str]) -> None:
    with pytest.raises((VaultError, ValueError)) as caught:
        act()
    shown = _report(caught.value)
    assert SECRET not in shown
    for byte in (1, 2):
        assert key(byte) not in shown and repr(bytes([byte]) * 32) not in shown


def test_a_vault_shows_names_only_and_does_not_travel() -> None:
    assert repr(vault) == str(vault) == "<Vault sealing with k2, opening with k2, k1>"
    with pytest.raises(TypeError):
        pickle.dumps(vault)


def test_large_texts() -> None:
    text = os.urandom(500_000).hex()
    assert vault.open(vault.seal(text, context=CONTEXT), context=CONTEXT) == text


@pytest.mark.parametrize(
    ("secret", "shown"), [(SECRET, "…tery"), ("short-secret", "…cret"), ("hunter2", "…"), ("", "…")]
)
def test_fingerprints_give_little_away(secret: str, shown: str) -> None:
    assert fingerprint(secret) == shown
