"""Signing in with an e-mail address and a password."""

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.test import override_settings

from apps.accounts.models import User
from tests.hashers import QuickPBKDF2
from tests.people import PASSWORD, Operator, new_person


def test_the_address_counts_in_any_case_and_the_password_exactly() -> None:
    user_id, email = new_person("Ada")
    user = authenticate(username=email.upper(), password=PASSWORD)
    assert user is not None
    assert user.pk == user_id
    assert authenticate(username=email, password=PASSWORD.upper()) is None
    assert authenticate(username=email, password="") is None


def test_an_inactive_person_does_not_sign_in() -> None:
    user_id, email = new_person("Ada")
    User.objects.filter(id=user_id).update(is_active=False)
    assert authenticate(username=email, password=PASSWORD) is None


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("nobody@example.org", PASSWORD),
        ("no\0body@example.org", PASSWORD),
        ("no\ud800body@example.org", PASSWORD),
        ("nobody@example.org", f"{PASSWORD}\ud800"),
        ("x" * 5000, PASSWORD),
    ],
)
def test_nobody_costs_as_much_as_somebody(email: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    real = QuickPBKDF2.encode

    def count(self: QuickPBKDF2, password: str, salt: str, iterations: int | None = None) -> str:
        encoded.append(password)
        return real(self, password, salt, iterations)

    monkeypatch.setattr(QuickPBKDF2, "encode", count)
    assert authenticate(username=email, password=password) is None
    assert len(encoded) == 1


def test_an_old_hash_is_renewed_at_sign_in_with_the_grants_of_the_serving_role() -> None:
    user_id, email = new_person("Ada")
    assert f"${QuickPBKDF2.iterations}$" in User.objects.get(id=user_id).password
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher"]):
        assert authenticate(username=email, password=PASSWORD) is not None
        assert f"${PBKDF2PasswordHasher.iterations}$" in User.objects.get(id=user_id).password
        assert authenticate(username=email, password=PASSWORD) is not None


def test_an_operator_signs_in_with_an_old_hash_which_stays(operator: Operator) -> None:
    old = User.objects.get(id=operator.id).password
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher"]):
        assert authenticate(username=operator.email, password="not the password") is None
        assert authenticate(username=operator.email, password=operator.password) is not None
    assert User.objects.get(id=operator.id).password == old
