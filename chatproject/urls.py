"""Paths only. Each app lists its own doors in `edge/urls.py`, by kind."""

from django.contrib import admin
from django.urls import include, path
from django.views.decorators.cache import cache_page
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from apps.accounts.edge import urls as accounts
from apps.billing.edge import urls as billing
from apps.conversations.edge import urls as conversations
from apps.routing.edge import urls as routing
from apps.tenants.admin_sites import manage
from apps.tenants.edge import urls as tenants
from chatproject.description import one_at_a_time

# The document changes with a release; building it takes a while.
SCHEMA_SECONDS = 300

api = [
    path("accounts/", include(accounts.api)),
    path("", include(tenants.api)),
    path("", include(billing.api)),
    path("", include(routing.api)),
    path("", include(conversations.api)),
]

urlpatterns = [
    path("", RedirectView.as_view(url="/chat/")),
    path("favicon.ico", RedirectView.as_view(url="/static/icon.svg")),
    path("", include(conversations.machine)),
    path("", include(accounts.pages)),
    path("", include(tenants.pages)),
    path("", include(([path("", include((tenants.oauth, "oidc")))], "idp"))),
    path("chat/", include(conversations.pages)),
    path("", include(routing.pages)),
    path("v1/chat/", include(conversations.chat)),
    path("v1/", include(routing.openai)),
    path("api/v1/", include(api)),
    path("scim/v2/", include(tenants.scim)),
    path("api/schema/", one_at_a_time(cache_page(SCHEMA_SECONDS)(SpectacularAPIView.as_view())), name="schema"),
    path("api/docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("admin/", admin.site.urls),
    path("manage/", manage.urls),
]

handler400 = "apps.tenants.edge.problems.bad_request"
handler403 = "apps.tenants.edge.problems.permission_denied"
handler404 = "apps.tenants.edge.problems.not_found"
handler500 = "apps.tenants.edge.problems.server_error"
