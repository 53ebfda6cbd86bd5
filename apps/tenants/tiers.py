"""Which tiers of models a tenant has to make rules about. The models themselves are an upper app's, which tells."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

# Called with the tenant's id. Returns the names of the models that are offered to it, by tier.
TiersHandler = Callable[[UUID], Mapping[str, Sequence[str]]]

_handlers: list[TiersHandler] = []


def who_tells_tiers(handler: TiersHandler) -> None:
    """Register who knows the models; call it once, from `AppConfig.ready`."""
    _handlers.append(handler)


def tiers(tenant_id: UUID) -> dict[str, list[str]]:
    """The names of the tenant's models by tier, tiers in alphabetical order."""
    found: dict[str, list[str]] = {}
    for handler in _handlers:
        for tier, names in handler(tenant_id).items():
            found.setdefault(tier, []).extend(names)
    return dict(sorted(found.items()))
