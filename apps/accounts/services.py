"""Writes: making accounts."""

from uuid import UUID

from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from uuid6 import uuid7

from apps.accounts.contracts import MAX_PASSWORD, CheckedAccount, is_storable
from apps.accounts.errors import InvalidAccount
from apps.accounts.models import User

_SUMMARY = "The account cannot be made like this."


def register(email: str, name: str, password: str) -> UUID:
    """Make an account and return its id. Raises `InvalidAccount` naming the fields at fault."""
    return insert(check(email, name, password))


def check(email: str, name: str, password: str) -> CheckedAccount:
    """Look at every field and hash the password, without touching the database. Raises `InvalidAccount`."""
    email, name = email.strip().lower(), name.strip()
    wrong = {
        "email": _wrong_with_email(email),
        "name": _wrong_with_name(name),
        "password": _wrong_with_password(password, User(email=email, name=name)),
    }
    if any(wrong.values()):
        raise InvalidAccount(_SUMMARY, fields={field: messages for field, messages in wrong.items() if messages})
    return CheckedAccount(uuid7(), email, name, make_password(password))


def insert(account: CheckedAccount) -> UUID:
    """Write a checked account; joins the caller's transaction where there is one.

    Raises `InvalidAccount` when the address is taken: of two people at once the unique index lets one through.
    """
    return _insert(account, alias="default")


def create_operator(email: str, name: str, password: str) -> UUID:
    """Make an account that may open the administration, as the role that may. Raises `InvalidAccount`."""
    return _insert(check(email, name, password), alias="engine", operator=True)


def _insert(account: CheckedAccount, *, alias: str, operator: bool = False) -> UUID:
    user = User(
        id=account.id,
        email=account.email,
        name=account.name,
        password=account.password_hash,
        is_staff=operator,
        is_superuser=operator,
    )
    try:
        with transaction.atomic(using=alias):
            user.save(using=alias, force_insert=True)
    except IntegrityError as error:
        if "accounts_user_email_unique" not in str(error):
            raise
        taken = "There is an account with this e-mail address already. Sign in instead."
        raise InvalidAccount(_SUMMARY, fields={"email": [taken]}) from error
    return user.id


def _wrong_with_email(email: str) -> list[str]:
    try:
        validate_email(email)
    except ValidationError as error:
        return list(error.messages)
    return [] if len(email) <= 254 and is_storable(email) else ["Enter a valid email address."]


def _wrong_with_name(name: str) -> list[str]:
    if not name or not is_storable(name):
        return ["Say who you are."]
    return [] if len(name) <= 120 else ["Use at most 120 characters."]


def _wrong_with_password(password: str, user: User) -> list[str]:
    if len(password) > MAX_PASSWORD or not is_storable(password):
        return [f"Use at most {MAX_PASSWORD} ordinary characters."]
    try:
        validate_password(password, user)
    except ValidationError as error:
        return list(error.messages)
    return []
