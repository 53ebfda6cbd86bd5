"""Which models a caller may name. The models themselves are an upper app's, which tells."""

from collections.abc import Callable, Sequence

from apps.tenants.contracts import OfferedName, Principal

# Returns what is on offer to the caller, in the order of lists. Opens a scope of its own.
OffersHandler = Callable[[Principal], Sequence[OfferedName]]

_handlers: list[OffersHandler] = []


def who_tells_offers(handler: OffersHandler) -> None:
    """Register who knows the models; call it once, from `AppConfig.ready`."""
    _handlers.append(handler)


def names_for(principal: Principal) -> list[OfferedName]:
    """What the caller may name: models that answer or make vectors, and policies."""
    return [one for handler in _handlers for one in handler(principal)]
