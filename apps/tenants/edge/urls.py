"""The doors of `tenants`; signing in and tokens are here because they need to know a tenant."""

from django.urls import URLPattern, path

from apps.tenants.edge import pages as views
from apps.tenants.edge import rest

pages: list[URLPattern] = [
    path("login/", views.sign_in, name="login"),
    path("signup/", views.sign_up, name="signup"),
    path("settings/keys/", views.api_keys, name="api_keys"),
    path("settings/keys/<uuid:key_id>/revoke/", views.revoke_api_key, name="revoke_api_key"),
]

api: list[URLPattern] = [
    path("accounts/token/", rest.TokenView.as_view()),
    path("accounts/token/refresh/", rest.TokenRefreshView.as_view()),
    path("accounts/me/", rest.MeView.as_view()),
    path("api-keys/", rest.ApiKeysView.as_view()),
    path("api-keys/<uuid:key_id>/", rest.ApiKeyView.as_view()),
]
