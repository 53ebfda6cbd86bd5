from django.apps import AppConfig


class ChatprojectConfig(AppConfig):
    """Holds the commands that concern the whole installation, and switches logging on."""

    name = "chatproject"

    def ready(self) -> None:
        from apps.observability import logging
        from chatproject.settings import ENV

        logging.configure(level=ENV.log_level, format=ENV.log_format)
