"""The forms of API keys: a new one, and a new secret for one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms

from apps.tenants.contracts import OfferedName, Scope
from apps.tenants.services import MAX_NAME

MAX_DAYS = 3650
HOUR_SECONDS, DAY_SECONDS = 3_600, 86_400
OVERLAPS = (
    (0, "at once"),
    (HOUR_SECONDS, "in an hour"),
    (DAY_SECONDS, "in a day"),
    (7 * DAY_SECONDS, "in seven days"),
    (30 * DAY_SECONDS, "in 30 days"),
)


class ApiKeyForm(forms.Form):
    """`teams` are the person's own, as (id, name)."""

    name = forms.CharField(label="Name", max_length=MAX_NAME)
    expires_days = forms.IntegerField(
        label="Ends after days", min_value=1, max_value=MAX_DAYS, required=False, help_text="Empty: it does not end."
    )
    scopes = forms.MultipleChoiceField(
        label="Restricted to",
        choices=[
            (Scope.CHAT.value, "Chat (all of /v1/)"),
            (Scope.COMPLETIONS.value, "/v1/chat/completions"),
            (Scope.RESPONSES.value, "/v1/responses"),
            (Scope.MESSAGES.value, "/v1/messages"),
            (Scope.EMBEDDINGS.value, "/v1/embeddings"),
            (Scope.READ.value, "Reading"),
            (Scope.MANAGE.value, "REST API (/api/)"),
        ],
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: everything you may do.",
    )
    models = forms.MultipleChoiceField(
        label="Models",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None chosen: all that you may use. Otherwise no other model answers, whatever chooses it.",
    )
    team = forms.TypedChoiceField(
        label="Team",
        required=False,
        coerce=UUID,
        empty_value=None,
        help_text="Its calls count in this team's limits. The key ends when you leave the team.",
    )

    def __init__(
        self, *args: Any, offers: Sequence[OfferedName] = (), teams: Sequence[tuple[UUID, str]] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        for name, choices in (
            ("models", [(one.slug, one.name) for one in offers]),
            ("team", [("", "None"), *((str(id), name) for id, name in teams)]),
        ):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared above
            field.choices = choices

    def expires_at(self) -> datetime | None:
        """The end that a valid form asks for."""
        days = self.cleaned_data["expires_days"]
        return datetime.now(UTC) + timedelta(days=days) if days else None


class RotationForm(forms.Form):
    overlap_seconds = forms.TypedChoiceField(choices=OVERLAPS, coerce=int)
