from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "apps.routing"
    label = "routing"

    def ready(self) -> None:
        from apps.billing.services import when_stale
        from apps.routing import provider_keys  # noqa: F401 - names the column that it seals
        from apps.routing.cache_clearing import forget_person
        from apps.routing.selectors import invalidate, models_by_tier, names_for
        from apps.tenants.offered import who_tells_offers
        from apps.tenants.selectors import forget_api_keys
        from apps.tenants.services import when_somebody_leaves
        from apps.tenants.tiers import who_tells_tiers

        who_tells_tiers(models_by_tier)
        who_tells_offers(names_for)
        when_somebody_leaves(forget_person)
        when_stale(forget_api_keys)
        when_stale(invalidate)
