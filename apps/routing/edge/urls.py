"""The doors of `routing`."""

from django.urls import URLPattern, path

from apps.routing.edge import openai as views
from apps.routing.edge import rest

openai: list[URLPattern] = [
    path("models", views.list_models),
    path("models/<path:slug>", views.show_model),
]

api: list[URLPattern] = [
    path("models/", rest.ModelsView.as_view()),
]
