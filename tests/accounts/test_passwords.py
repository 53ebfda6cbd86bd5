"""Which passwords are taken: any characters, twelve or more, and none of those that are guessed first."""

import re
import string
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher, get_hasher, identify_hasher, make_password
from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError
from django.test import Client
from django.test.utils import override_settings
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts import services
from apps.accounts.contracts import MAX_PASSWORD
from apps.accounts.errors import InvalidAccount
from apps.accounts.models import User
from apps.accounts.passwords import CONTEXT_WORDS, PASSWORD_MIN, GuessedFirstValidator
from apps.tenants.contracts import Principal
from tests.people import PASSWORD, new_address

VALIDATOR = GuessedFirstValidator()


def refused(password: str) -> bool:
    """By everything an account is made or changed with."""
    try:
        services.check("ana@example.org", "Ana", password)
    except InvalidAccount as error:
        assert set(error.fields or {}) == {"password"}
        return True
    return False


def test_eleven_characters_are_too_few_and_twelve_enough() -> None:
    assert refused("ufo maybe 3"), "eleven"
    assert not refused("ufo maybe 3x")
    assert PASSWORD_MIN == 12


@pytest.mark.parametrize("length", [64, 128, MAX_PASSWORD])
def test_long_passwords_are_taken_whole(length: int) -> None:
    password = (PASSWORD * 40)[: length - 1]
    account = services.check("ana@example.org", "Ana", password + "ß")
    user = User(password=account.password_hash)
    assert user.check_password(password + "ß")
    assert not user.check_password(password + "s")
    assert not user.check_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "ufomaybetulip",  # lower case alone
        "UFOMAYBETULIP",
        "804172963518",  # digits alone
        "!?;&%#=)(/_*",
        "ärger im öltank",
        "  spaces at both ends  ",
        "密码就是这样不好猜的啊对吧",
    ],
)
def test_no_kind_of_character_is_demanded(password: str) -> None:
    assert not refused(password)


@pytest.mark.parametrize(
    "password",
    [
        "qwerty123456",
        "1q2w3e4r5t6y",
        "Password1234",
        "PASSWORD1234!!",
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabc",
        "123456789012",
        "987654321098765",
        "abcdefghijklmnop",
        "qwertyuiopasdf",
        "switchboard",
        "switchboard2026",
        "Switchboard-Admin",
        "workspaceOwner1",
        "iloveyou2026!",
    ],
)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    assert refused(password)


def test_every_common_password_that_is_long_enough_is_refused() -> None:
    long_enough = [one for one in CommonPasswordValidator().passwords if len(one) >= PASSWORD_MIN]
    assert len(long_enough) > 150
    for one in long_enough:
        with pytest.raises(ValidationError):
            VALIDATOR.validate(one)


@given(st.sampled_from(sorted(CONTEXT_WORDS)), st.text(string.digits + string.punctuation, max_size=5), st.booleans())
def test_a_word_of_ours_with_a_few_signs_is_refused(word: str, signs: str, before: bool) -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(signs + word.upper() if before else word + signs)


@given(st.text(max_size=MAX_PASSWORD))
def test_any_text_is_judged(password: str) -> None:
    try:
        VALIDATOR.validate(password)
    except ValidationError as error:
        assert password not in str(error) or len(password) < PASSWORD_MIN


def test_the_words_that_are_refused_are_listed() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/safeguards.md").read_text()
    (listed,) = re.findall(r"^Words that do not count: (.+)\.$", page, flags=re.MULTILINE)
    assert set(listed.replace("`", "").split(", ")) == CONTEXT_WORDS


def test_a_name_or_address_of_ones_own_is_refused() -> None:
    with pytest.raises(InvalidAccount):
        services.check("margarethe.vontrotta@example.org", "Margarethe", "margarethe.vontrotta")


def test_the_page_the_change_and_the_reset_refuse_alike(alice: Principal) -> None:
    """One list of rules stands behind every way to a password."""
    body = {"name": "Nina", "email": f"n{new_address()}@example.org", "password": "Password1234"}
    page = Client(REMOTE_ADDR=new_address()).post("/signup/", body)
    assert (page.status_code, "first that are guessed" in page.content.decode()) == (400, True)
    browser = Client(REMOTE_ADDR=new_address())
    browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    change = {"oldpassword": PASSWORD, "password1": "Password1234", "password2": "Password1234"}
    assert "first that are guessed" in browser.post("/account/password/change/", change).content.decode()
    assert User.objects.get(id=alice.user_id).check_password(PASSWORD)


def test_a_change_needs_the_present_password(alice: Principal) -> None:
    browser = Client(REMOTE_ADDR=new_address())
    browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    for present, changed in (("", False), ("not the present one", False), (PASSWORD, True)):
        fields = {"oldpassword": present, "password1": "ufo maybe tulip", "password2": "ufo maybe tulip"}
        browser.post("/account/password/change/", fields)
        assert User.objects.get(id=alice.user_id).check_password("ufo maybe tulip") is changed


def test_a_password_does_not_grow_old(alice: Principal) -> None:
    User.objects.filter(id=alice.user_id).update(last_login="2001-01-01T00:00:00Z")
    browser = Client(REMOTE_ADDR=new_address())
    assert browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})["Location"] == "/chat/"


def test_hashes_are_made_slowly_with_a_salt_of_their_own() -> None:
    with override_settings(PASSWORD_HASHERS=settings.PASSWORD_HASHERS[1:]):  # without the tests' quick one
        first, second = make_password(PASSWORD), make_password(PASSWORD)
        assert first != second
        hasher = identify_hasher(first)
        assert isinstance(hasher, PBKDF2PasswordHasher)
        told = hasher.decode(first)
        assert told["algorithm"] == "pbkdf2_sha256"
        assert told["iterations"] >= 600_000
        assert len(told["salt"]) >= 22
        assert get_hasher().algorithm == "pbkdf2_sha256"
