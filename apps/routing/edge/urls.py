"""The doors of `routing`."""

from django.urls import URLPattern, path

from apps.routing.edge import catalogue, rest
from apps.routing.edge import openai as views

openai: list[URLPattern] = [
    path("models", views.list_models),
    path("models/<path:slug>", views.show_model),
]

api: list[URLPattern] = [
    path("models/", rest.ModelsView.as_view()),
    path("catalogue/", catalogue.CatalogueView.as_view()),
]
