"""The doors of `tenants`; signing in and tokens are here because they need to know a tenant."""

from django.urls import URLPattern, path

from apps.tenants.edge import audit_views, company_sign_in, identity_provider_views, rest, token_views
from apps.tenants.edge import pages as views

pages: list[URLPattern] = [
    path("login/", views.sign_in, name="login"),
    path("signup/", views.sign_up, name="signup"),
    path("settings/workspace/audit/", audit_views.audit_page, name="audit"),
    path("settings/workspace/audit/export/", audit_views.audit_export, name="audit_export"),
    path("sso/", company_sign_in.choose, name="company_choose"),
    path("sso/<slug:slug>/", company_sign_in.begin, name="company_sign_in"),
    path("sso/<slug:slug>/callback/", company_sign_in.callback, name="company_callback"),
    path("settings/company-sign-in/", company_sign_in.connections, name="company_connections"),
    path("settings/company-sign-in/<uuid:provider_id>/connect/", company_sign_in.connect, name="company_connect"),
    path(
        "settings/company-sign-in/<uuid:provider_id>/disconnect/",
        company_sign_in.disconnect,
        name="company_disconnect",
    ),
    path("settings/workspace/sign-in/", identity_provider_views.providers_page, name="identity_providers"),
    path(
        "settings/workspace/sign-in/<uuid:provider_id>/",
        identity_provider_views.provider_page,
        name="identity_provider",
    ),
    path(
        "settings/workspace/sign-in/<uuid:provider_id>/remove/",
        identity_provider_views.remove_provider,
        name="remove_identity_provider",
    ),
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
    path("identity-providers/", identity_provider_views.IdentityProvidersView.as_view()),
    path("identity-providers/<uuid:provider_id>/", identity_provider_views.IdentityProviderView.as_view()),
    path("api-keys/", rest.ApiKeysView.as_view()),
    path("api-keys/revoke-all/", rest.ApiKeysRevokeAllView.as_view()),
    path("api-keys/<uuid:key_id>/", rest.ApiKeyView.as_view()),
]
