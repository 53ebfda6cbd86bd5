from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ChatprojectConfig(AppConfig):
    """Holds the commands that concern the whole installation, and switches logging on."""

    name = "chatproject"

    def ready(self) -> None:
        # Celery's application must exist wherever a ring is sent from, the web processes included.
        import chatproject.celery  # noqa: F401
        from apps.observability import logging
        from chatproject.settings import ENV

        logging.configure(level=ENV.log_level, format=ENV.log_format)


class AdministrationConfig(AdminConfig):
    """Django's administration, on our own site."""

    default_site = "apps.tenants.admin_sites.OperatorSite"
