from django.apps import AppConfig
from django.contrib import admin


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    label = "tenants"

    def ready(self) -> None:
        from apps.tenants import provider_secrets  # noqa: F401 - names the column that it seals
        from apps.tenants.edge.admin_forms import ThrottledSignInForm

        admin.site.login_form = ThrottledSignInForm
