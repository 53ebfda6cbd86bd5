"""WebSocket paths only."""

from django.urls import path

from apps.conversations.edge.websocket import ChatConsumer

urlpatterns = [path("ws/chat/", ChatConsumer.as_asgi())]
