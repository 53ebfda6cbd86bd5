from django.apps import AppConfig
from django.db.models.signals import post_save


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    label = "tenants"

    def ready(self) -> None:
        from allauth.mfa.adapter import get_adapter

        from apps.accounts.models import User
        from apps.tenants import (
            provider_secrets,  # noqa: F401 - names the column that it seals
            token_families,
        )
        from apps.tenants.edge import sign_in_events  # noqa: F401 - hears the frameworks' signals

        get_adapter()  # whoever keeps second factors, so that it names the column that it seals
        post_save.connect(token_families.end_with_password, sender=User, dispatch_uid="tenants.end_with_password")
