"""The doors of `billing`."""

from django.urls import URLPattern, path

from apps.billing.edge import rest

api: list[URLPattern] = [path("usage/", rest.UsageView.as_view())]
