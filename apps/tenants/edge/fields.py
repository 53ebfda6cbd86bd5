"""Fields of REST bodies that take what the document says and nothing that merely resembles it.

REST framework makes the text "0" of the number 0, and a yes of "on": a caller's slip would pass in silence.
"""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from apps.tenants.teams import MOST_COST_USD, NANOUSD_PER_USD


class Text(serializers.CharField):
    """A JSON string. Its length is that of what was sent, before blanks around it are dropped."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(data)


class Whole(serializers.IntegerField):
    """A JSON number without a fraction."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class Dollars(serializers.DecimalField):
    """Nano-dollars inside; US dollars as decimal text outside, above 0."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_digits=13,
            decimal_places=9,
            normalize_output=True,
            min_value=Decimal("0.000000001"),
            max_value=Decimal(MOST_COST_USD),
            **options,
        )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, bool):
            self.fail("invalid")
        return int(super().to_internal_value(data) * NANOUSD_PER_USD)

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(Decimal(value) / NANOUSD_PER_USD)


class Truth(serializers.BooleanField):
    """`true` or `false`."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data
