"""Second factors' secrets are long enough, chance's own, and no reset goes around them."""

import base64
import inspect
import re

from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.core import mail
from django.test import Client
from django.test.utils import override_settings

from apps.tenants.contracts import Principal
from tests.accounts.test_forgotten_passwords import CHOSEN, MAIL
from tests.accounts.test_second_factor_steps import ASKED, enters, set_up
from tests.people import PASSWORD, new_address, session_of


def test_recovery_codes_cannot_be_guessed(alice: Principal) -> None:
    _secret, codes = set_up(Client(REMOTE_ADDR=new_address()), alice)
    assert len(set(codes)) == len(codes) == 10
    assert all(re.fullmatch(r"\d{8,}", code.replace(" ", "")) for code in codes), "26 bits or more"


def test_seeds_are_long_and_the_systems_chance() -> None:
    secrets = {generate_totp_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert all(len(base64.b32decode(one)) >= 20 for one in secrets)
    seeds = {RecoveryCodes.generate_seed() for _ in range(50)}
    assert len(seeds) == 50 and all(len(seed) >= 32 for seed in seeds)
    for maker in (RecoveryCodes.generate_seed, generate_totp_secret):
        assert "secrets.token_" in inspect.getsource(maker)


@override_settings(**MAIL)
def test_a_reset_password_is_still_asked_for_its_second_factor(alice: Principal) -> None:
    set_up(Client(REMOTE_ADDR=new_address()), alice)
    mail.outbox = []
    stranger = Client(REMOTE_ADDR=new_address())
    stranger.post("/account/password/reset/", {"email": alice.user_email})
    (link,) = re.findall(r"https?://[^/]+(/account/password/reset/key/\S+)", mail.outbox[-1].body)
    path = stranger.get(link, follow=True).redirect_chain[-1][0]
    stranger.post(path, {"password1": CHOSEN, "password2": CHOSEN})
    assert not enters(stranger), "the link signs nobody in"
    led = stranger.post("/login/", {"email": alice.user_email, "password": CHOSEN})
    assert led["Location"].startswith(ASKED)
    assert not enters(stranger)


def test_a_changed_password_ends_the_other_sessions(alice: Principal) -> None:
    browser, other = Client(REMOTE_ADDR=new_address()), session_of(alice)
    browser.post("/login/", {"email": alice.user_email, "password": PASSWORD})
    assert enters(browser) and enters(other)
    change = {"oldpassword": PASSWORD, "password1": CHOSEN, "password2": CHOSEN}
    browser.post("/account/password/change/", change)
    assert enters(browser) and not enters(other)
