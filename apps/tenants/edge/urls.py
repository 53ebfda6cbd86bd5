"""The doors of `tenants`; signing in and tokens are here because they need to know a tenant."""

from django.urls import URLPattern, path

from apps.tenants.edge import audit_views, rest, token_views
from apps.tenants.edge import pages as views

pages: list[URLPattern] = [
    path("login/", views.sign_in, name="login"),
    path("signup/", views.sign_up, name="signup"),
    path("settings/workspace/audit/", audit_views.audit_page, name="audit"),
    path("settings/workspace/audit/export/", audit_views.audit_export, name="audit_export"),
    path("settings/keys/", views.api_keys, name="api_keys"),
    path("settings/keys/<uuid:key_id>/revoke/", views.revoke_api_key, name="revoke_api_key"),
]

api: list[URLPattern] = [
    path("accounts/token/", token_views.TokenView.as_view()),
    path("accounts/token/refresh/", token_views.TokenRefreshView.as_view()),
    path("accounts/token/revoke/", token_views.TokenRevokeView.as_view()),
    path("accounts/tokens/", token_views.TokensView.as_view()),
    path("accounts/tokens/<uuid:family>/", token_views.TokenFamilyView.as_view()),
    path("accounts/me/", rest.MeView.as_view()),
    path("audit/", audit_views.AuditView.as_view()),
    path("audit/export/", audit_views.AuditExportView.as_view()),
    path("api-keys/", rest.ApiKeysView.as_view()),
    path("api-keys/revoke-all/", rest.ApiKeysRevokeAllView.as_view()),
    path("api-keys/<uuid:key_id>/", rest.ApiKeyView.as_view()),
]
