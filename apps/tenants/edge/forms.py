"""The form of a new API key."""

from datetime import UTC, datetime, timedelta

from django import forms

from apps.tenants.contracts import Scope
from apps.tenants.services import MAX_NAME

MAX_DAYS = 3650


class ApiKeyForm(forms.Form):
    name = forms.CharField(label="Name", max_length=MAX_NAME)
    expires_days = forms.IntegerField(
        label="Ends after days", min_value=1, max_value=MAX_DAYS, required=False, help_text="Empty: it does not end."
    )
    scopes = forms.MultipleChoiceField(
        label="Restricted to",
        choices=[(Scope.CHAT.value, "Chat (/v1/)"), (Scope.MANAGE.value, "REST API (/api/)")],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: everything you may do.",
    )

    def expires_at(self) -> datetime | None:
        """The end that a valid form asks for."""
        days = self.cleaned_data["expires_days"]
        return datetime.now(UTC) + timedelta(days=days) if days else None
