"""Forms of the administration's own pages: signing in, with the house's throttle, and changing one's password."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction

from apps.accounts.models import User
from apps.tenants import audit
from apps.tenants.edge import sign_in_guard
from apps.tenants.edge.throttle import SIGN_IN
from apps.tenants.errors import TooManyTries

if TYPE_CHECKING:
    from django.contrib.admin.forms import AdminAuthenticationForm as _SignInForm
    from django.contrib.auth.forms import PasswordChangeForm as _PasswordForm
else:
    from unfold.forms import AdminOwnPasswordChangeForm as _PasswordForm
    from unfold.forms import AuthenticationForm as _SignInForm


class ThrottledSignInForm(_SignInForm):
    """Counts a try as the other sign-ins do, into the same count, before the password is looked at."""

    def clean(self) -> dict[str, Any]:
        if self.request is None:
            return super().clean()
        try:
            SIGN_IN.count(self.request, "")
            tried = sign_in_guard.begin(self.request, self.cleaned_data.get("username", ""), puzzles=False)
        except TooManyTries as refused:
            raise ValidationError(refused.detail, code=refused.code) from refused
        cleaned = super().clean()
        tried.succeeded()
        return cleaned


class OperatorsPasswordForm(_PasswordForm):
    """An operator's own password, written as the role that may."""

    def save(self, commit: bool = True) -> User:
        user: User = self.user
        user.set_password(self.cleaned_data["new_password1"])
        with transaction.atomic(using="engine"):
            user.save(using="engine", update_fields=["password"])
            actor = audit.Actor(user.pk, user.email, "admin")
            audit.record(None, actor, "user.password_changed", target=("user", user.pk), using="engine")
        return user
