"""The paths of this app's doors, by kind."""

from django.urls import path

from apps.conversations.edge import health, rest, sse
from apps.conversations.edge import pages as views

pages = [
    path("", views.new_chat, name="chat_new"),
    path("list", views.chat_list, name="chat_list"),
    path("<uuid:conversation_id>/", views.chat, name="chat"),
    path("<uuid:conversation_id>/turns", views.turns, name="chat_turns"),
    path("<uuid:conversation_id>/turns/<uuid:turn_id>", views.turn, name="chat_turn"),
    path("answers/<uuid:generation_id>/prompt", views.prompt, name="chat_prompt"),
    path("<uuid:conversation_id>/rename", views.rename, name="chat_rename"),
    path("<uuid:conversation_id>/delete", views.delete, name="chat_delete"),
    path("<uuid:conversation_id>/restore", views.restore, name="chat_restore"),
]

api = [
    path("conversations/", rest.Conversations.as_view()),
    path("conversations/<uuid:conversation_id>/", rest.OneConversation.as_view()),
    path("conversations/<uuid:conversation_id>/restore/", rest.RestoredConversation.as_view()),
    path("conversations/<uuid:conversation_id>/messages/", rest.Messages.as_view()),
    path("generations/<uuid:generation_id>/prompt/", rest.GenerationPrompt.as_view()),
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
