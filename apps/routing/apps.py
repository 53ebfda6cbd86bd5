from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "apps.routing"
    label = "routing"

    def ready(self) -> None:
        from apps.routing import provider_keys  # noqa: F401 - names the column that it seals
