"""The doors of `routing`."""

from django.urls import URLPattern, path

from apps.routing.edge import cache_pages, caches, catalogue, rest, safety, safety_pages
from apps.routing.edge import openai as views

openai: list[URLPattern] = [
    path("models", views.list_models),
    path("models/<path:slug>", views.show_model),
]

api: list[URLPattern] = [
    path("models/", rest.ModelsView.as_view()),
    path("catalogue/", catalogue.CatalogueView.as_view()),
    path("caches/", caches.CachesView.as_view()),
    path("safety/", safety.SafetyView.as_view()),
    path("safety/verdicts/", safety.VerdictsView.as_view()),
]

pages: list[URLPattern] = [
    path("settings/workspace/caches/", cache_pages.caches_page, name="caches"),
    path("settings/workspace/safety/", safety_pages.safety_page, name="safety"),
]
