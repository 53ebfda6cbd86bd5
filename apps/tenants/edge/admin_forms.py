"""Signing in to the administration, which is Django's own page and so needs the house's throttle put in."""

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError

from apps.tenants.edge.throttle import SIGN_IN
from apps.tenants.errors import TooManyTries


class ThrottledSignInForm(AdminAuthenticationForm):
    """Counts a try as the other sign-ins do, into the same count, before the password is looked at."""

    def clean(self) -> dict[str, Any]:
        if self.request is not None:
            try:
                SIGN_IN.count(self.request, self.cleaned_data.get("username", ""))
            except TooManyTries as refused:
                raise ValidationError(refused.detail, code=refused.code) from refused
        return super().clean()
