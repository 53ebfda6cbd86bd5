"""Amounts as people write them, and as they are stored: decimal text of US dollars, and integers of nano-dollars."""

from decimal import Decimal, InvalidOperation

from apps.routing.contracts import NewPrice

_NANOUSD_PER_USD = 1_000_000_000
_MOST_USD = 1_000_000
_PARTS = ("input", "cached_input", "cache_write", "output", "reasoning")


def decimal_text(value: object) -> Decimal:
    """The number that a text or a whole number says. Raises `ValueError` for anything else, and below zero."""
    number = None
    if isinstance(value, str | int) and not isinstance(value, bool):
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = None
    if number is None or not number.is_finite() or number > _MOST_USD:
        raise ValueError(f"must be a number up to {_MOST_USD}, like 0.15")
    if number < 0:
        raise ValueError("must not be negative")
    return number


def nanousd(usd: Decimal) -> int:
    """Dollars as nano-dollars. Raises `ValueError` where there is a smaller part than those."""
    amount = usd * _NANOUSD_PER_USD
    if amount != amount.to_integral_value():
        raise ValueError("has more than nine places after the point")
    return int(amount)


def usd_text(amount_nanousd: int) -> str:
    """Nano-dollars as decimal text, without zeros that say nothing."""
    text = f"{Decimal(amount_nanousd) / _NANOUSD_PER_USD:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def price_text(price: NewPrice) -> str:
    """A price in one line: `input $0.15, output $0.6`, or `free`."""
    if price.free:
        return "free"
    amounts = {name: getattr(price, f"{name}_nanousd_per_mtok") for name in _PARTS}
    return ", ".join(
        f"{name.replace('_', ' ')} ${usd_text(amount)}" for name, amount in amounts.items() if amount is not None
    )
