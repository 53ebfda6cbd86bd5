from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "apps.routing"
    label = "routing"

    def ready(self) -> None:
        from apps.routing import provider_keys  # noqa: F401 - names the column that it seals
        from apps.routing.cache_clearing import forget_person
        from apps.routing.selectors import models_by_tier
        from apps.tenants.services import when_somebody_leaves
        from apps.tenants.tiers import who_tells_tiers

        who_tells_tiers(models_by_tier)
        when_somebody_leaves(forget_person)
