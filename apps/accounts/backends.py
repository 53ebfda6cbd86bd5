"""Signing in with an e-mail address and a password."""

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from apps.accounts.contracts import is_storable
from apps.accounts.models import User


class EmailBackend(ModelBackend):
    """Django's model backend, with the e-mail address in any case as the name.

    An unknown address costs as much time as a wrong password (Django hashes once for nobody), so that time does not
    tell who has an account. Text that no database can hold belongs to nobody.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        email = username if username is not None else kwargs.get("email")
        if not email or password is None:
            return None
        if not is_storable(password):
            email, password = "", "-"
        user = super().authenticate(request, username=email, password=password)
        return user if isinstance(user, User) else None
