from django.apps import AppConfig


class ConversationsConfig(AppConfig):
    name = "apps.conversations"
    label = "conversations"

    def ready(self) -> None:
        from apps.conversations.leaving import stop_answers_of
        from apps.tenants.services import when_somebody_leaves

        when_somebody_leaves(stop_answers_of)
