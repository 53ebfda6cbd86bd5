"""Making accounts."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, connections, transaction

from apps.accounts import selectors, services
from apps.accounts.errors import InvalidAccount
from apps.accounts.models import User
from tests.people import PASSWORD, Operator, new_person


def test_an_address_is_kept_in_lower_case_and_found_in_any() -> None:
    user_id, email = new_person("Ada")
    assert selectors.id_by_email(f" {email.upper()} ") == user_id
    assert User.objects.get(id=user_id).email == email


def test_a_taken_address_is_the_fields_fault_in_any_case() -> None:
    _, email = new_person("Ada")
    with pytest.raises(InvalidAccount) as refused:
        services.register(email.upper(), "Somebody", PASSWORD)
    assert refused.value.fields == {"email": ["There is an account with this e-mail address already. Sign in instead."]}


@pytest.mark.parametrize(
    ("email", "name", "password", "field"),
    [
        ("not an address", "Ada", PASSWORD, "email"),
        ("ada\0@example.org", "Ada", PASSWORD, "email"),
        ("ada-1@example.org", " ", PASSWORD, "name"),
        ("ada-1@example.org", "Ada\0", PASSWORD, "name"),
        ("ada-1@example.org", "A" * 121, PASSWORD, "name"),
        ("ada-1@example.org", "Ada", "short", "password"),
        ("ada-1@example.org", "Ada", "1234567890", "password"),
        ("ada-1@example.org", "Ada", "password123", "password"),
        ("ada-1@example.org", "Ada", "x" * 1025, "password"),
        ("ada-1@example.org", "Ada", f"{PASSWORD}\0", "password"),
        ("ada-1@example.org", "Ada", f"{PASSWORD}\ud800", "password"),
    ],
)
def test_what_breaks_a_rule_is_named_by_its_field(email: str, name: str, password: str, field: str) -> None:
    with pytest.raises(InvalidAccount) as refused:
        services.register(email, name, password)
    assert set(refused.value.fields or {}) == {field}
    assert selectors.id_by_email("ada-1@example.org") is None


def test_of_two_registrations_at_once_one_wins() -> None:
    _, other = new_person("Ada")
    email = f"twin-{other}"

    def register(_: int) -> bool:
        try:
            services.register(email, "Twin", PASSWORD)
            return True
        except InvalidAccount:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as registering:
        assert sorted(registering.map(register, range(4))) == [False, False, False, True]


def test_the_serving_role_makes_nobody_staff() -> None:
    user_id, email = new_person("Ada")
    with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
        User(email=f"staff-{email}", name="Eve", is_staff=True).save(force_insert=True)
    for column in ("is_staff", "is_superuser"):
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
            User.objects.filter(id=user_id).update(**{column: True})
    assert not User.objects.get(id=user_id).is_staff


def test_an_operator_is_made_by_the_role_that_may(operator: Operator) -> None:
    user = User.objects.get(id=operator.id)
    assert (user.is_staff, user.is_superuser, user.email) == (True, True, operator.email)
