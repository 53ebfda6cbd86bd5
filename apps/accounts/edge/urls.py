"""The doors of `accounts`. What needs to know a tenant (signing in, tokens) is in `tenants`, which lies above."""

from collections.abc import Iterator, Sequence

from allauth.account import views as allauth
from allauth.mfa import urls as second_factors
from django.db import transaction
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView

from apps.accounts.edge import pages as views

# What changes how somebody signs in is written together with the note that tells of it, or not at all.
whole = transaction.atomic
_CHANGES = {
    "mfa_activate_totp",
    "mfa_deactivate_totp",
    "mfa_generate_recovery_codes",
    "mfa_add_webauthn",
    "mfa_remove_webauthn",
}


def _patterns(within: Sequence[URLPattern | URLResolver]) -> Iterator[URLPattern]:
    for one in within:
        if isinstance(one, URLResolver):
            yield from _patterns(one.url_patterns)
        else:
            yield one


for _pattern in _patterns(second_factors.urlpatterns):
    if _pattern.name in _CHANGES:
        _pattern.callback = whole(views.set_up_once_by_operators(_pattern.callback))

# allauth's own pages, under its names. Signing in and up happen on ours, which know workspaces and throttle.
_account: list[URLPattern | URLResolver] = [
    path("login/", RedirectView.as_view(pattern_name="login", query_string=True), name="account_login"),
    path("signup/", RedirectView.as_view(pattern_name="signup", query_string=True), name="account_signup"),
    path("logout/", whole(views.sign_out), name="account_logout"),
    path("inactive/", allauth.account_inactive, name="account_inactive"),
    path("reauthenticate/", allauth.reauthenticate, name="account_reauthenticate"),
    path("email/", whole(views.address), name="account_email"),
    path("confirm-email/", allauth.email_verification_sent, name="account_email_verification_sent"),
    re_path(r"^confirm-email/(?P<key>[-:\w]+)/$", whole(allauth.confirm_email), name="account_confirm_email"),
    path("password/change/", whole(allauth.password_change), name="account_change_password"),
    path("password/set/", whole(allauth.password_set), name="account_set_password"),
    path("password/reset/", allauth.password_reset, name="account_reset_password"),
    path("password/reset/done/", allauth.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        whole(views.reset_password),
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        allauth.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("second-factor/", include(second_factors)),
    path("sessions/", views.sessions, name="usersessions_list"),
    path("sessions/end-others/", whole(views.end_other_sessions), name="sessions_end_others"),
    path("sessions/<int:session_id>/end/", whole(views.end_session), name="session_end"),
]

pages: list[URLPattern | URLResolver] = [
    path("logout/", whole(views.sign_out), name="logout"),
    path("account/", include(_account)),
]
api: list[URLPattern] = []
