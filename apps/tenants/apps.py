from django.apps import AppConfig
from django.contrib import admin


class TenantsConfig(AppConfig):
    name = "apps.tenants"
    label = "tenants"

    def ready(self) -> None:
        from apps.tenants.edge.admin_forms import ThrottledSignInForm

        admin.site.login_form = ThrottledSignInForm
