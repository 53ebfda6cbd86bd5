"""The paths of this app's doors, by kind."""

from django.urls import path

from apps.conversations.edge import health, rest, sse

api = [
    path("conversations/", rest.Conversations.as_view()),
    path("conversations/<uuid:conversation_id>/", rest.OneConversation.as_view()),
    path("conversations/<uuid:conversation_id>/restore/", rest.RestoredConversation.as_view()),
    path("conversations/<uuid:conversation_id>/messages/", rest.Messages.as_view()),
]

chat = [
    path("messages", sse.messages),
    path("streams/<uuid:stream_id>", sse.stream),
    path("generations/<uuid:generation_id>/cancel", sse.cancel),
    path("generations/<uuid:generation_id>/retry", sse.retry),
]

machine = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.prometheus),
]
