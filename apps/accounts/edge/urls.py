"""The doors of `accounts`. What needs to know a tenant (signing in, tokens) is in `tenants`, which lies above."""

from allauth.account import views as allauth
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from apps.accounts.edge import pages as views

# allauth's own pages, under its names. Signing in and up happen on ours, which know workspaces and throttle.
_account: list[URLPattern | URLResolver] = [
    path("login/", RedirectView.as_view(pattern_name="login", query_string=True), name="account_login"),
    path("signup/", RedirectView.as_view(pattern_name="signup", query_string=True), name="account_signup"),
    path("logout/", views.sign_out, name="account_logout"),
    path("inactive/", allauth.account_inactive, name="account_inactive"),
    path("reauthenticate/", allauth.reauthenticate, name="account_reauthenticate"),
    path("email/", views.address, name="account_email"),
    path("confirm-email/", allauth.email_verification_sent, name="account_email_verification_sent"),
    re_path(r"^confirm-email/(?P<key>[-:\w]+)/$", allauth.confirm_email, name="account_confirm_email"),
    path("password/change/", allauth.password_change, name="account_change_password"),
    path("password/set/", allauth.password_set, name="account_set_password"),
    path("password/reset/", allauth.password_reset, name="account_reset_password"),
    path("password/reset/done/", allauth.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        views.reset_password,
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        allauth.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("second-factor/", include("allauth.mfa.urls")),
    path("sessions/", views.sessions, name="usersessions_list"),
    path("sessions/end-others/", views.end_other_sessions, name="sessions_end_others"),
    path("sessions/<int:session_id>/end/", views.end_session, name="session_end"),
]

pages: list[URLPattern | URLResolver] = [
    path("logout/", views.sign_out, name="logout"),
    path("account/", include(_account)),
]
api: list[URLPattern] = []
