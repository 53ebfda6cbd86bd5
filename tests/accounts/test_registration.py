"""Making accounts."""

from apps.accounts import selectors
from apps.accounts.models import User
from tests.people import new_person


def test_an_address_is_kept_in_lower_case_and_found_in_any() -> None:
    user_id, email = new_person("Ada")
    assert selectors.id_by_email(email.upper()) == user_id
    assert User.objects.get(id=user_id).email == email
