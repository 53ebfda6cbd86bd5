"""Fields of REST bodies that take what the document says and nothing that merely resembles it.

REST framework makes the text "0" of the number 0, and a yes of "on": a caller's slip would pass in silence.
"""

import re
from decimal import Decimal
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.tenants.contracts import DOLLARS, NANOUSD_PER_USD


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


@extend_schema_field({"type": "string", "pattern": DOLLARS})
class Dollars(serializers.Field[int, Any, str, int]):
    """Nano-dollars inside; US dollars as decimal text outside."""

    default_error_messages: ClassVar = {"invalid": "Send US dollars as text, above 0, like 0.02."}

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not re.fullmatch(DOLLARS, data):
            self.fail("invalid")
        return int(Decimal(data) * NANOUSD_PER_USD)

    def to_representation(self, value: int) -> str:
        return f"{(Decimal(value) / NANOUSD_PER_USD).normalize():f}"


class Truth(serializers.BooleanField):
    """`true` or `false`."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data
