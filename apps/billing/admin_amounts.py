"""Amounts in the administrations: kept in nano-dollars, read and typed in US dollars."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import HttpRequest

from apps.billing import services

if TYPE_CHECKING:
    _Widget = forms.NumberInput
else:
    from unfold.widgets import UnfoldAdminDecimalFieldWidget as _Widget

_NANO = 1_000_000_000
_MARK = "_nanousd"


class DollarsField(forms.DecimalField):
    """Decimal dollars on the page, whole nano-dollars in the form's data; empty where nothing is set."""

    def __init__(self, *, label: str, required: bool) -> None:
        super().__init__(
            label=label,
            required=required,
            min_value=Decimal(0),
            max_digits=18,
            decimal_places=9,
            widget=_Widget(attrs={"step": "any", "min": "0"}),
        )

    def prepare_value(self, value: Any) -> Any:
        return services.usd(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        dollars = super().clean(value)
        return None if dollars is None else int(dollars * _NANO)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != initial)
        except forms.ValidationError:
            return True


class InDollars:
    """For a `ModelAdmin`: every field that is kept in nano-dollars is typed in dollars."""

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if _MARK not in db_field.name:
            return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        return DollarsField(label=label(db_field.name), required=not db_field.blank)


def label(column: str) -> str:
    """`input_nanousd_per_mtok` in words: `Input, $ per million tokens`."""
    name, _, per = column.partition(_MARK)
    words = name.replace("budget_", "budget_a_").replace("_", " ").capitalize()
    return f"{words}, $ per million tokens" if per == "_per_mtok" else f"{words}, $"


def shown(nanousd: int | None) -> str | None:
    """An amount for lists; None where there is none."""
    return None if nanousd is None else f"$ {services.usd(nanousd)}"
