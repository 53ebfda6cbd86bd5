"""The doors of `accounts`. What needs to know a tenant (signing in, tokens) is in `tenants`, which lies above."""

from django.urls import URLPattern, path

from apps.accounts.edge import pages as views

pages: list[URLPattern] = [path("logout/", views.sign_out, name="logout")]
api: list[URLPattern] = []
