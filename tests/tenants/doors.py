"""One door of every kind, telling who it thinks is calling; beside them the real doors of `accounts` and `tenants`."""

from typing import Any

from django.contrib import admin
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.edge import urls as accounts
from apps.tenants.admin_sites import manage
from apps.tenants.contracts import Principal
from apps.tenants.edge import urls as tenants
from apps.tenants.edge.pages import person_required
from apps.tenants.errors import NotFound


def told(principal: Principal | None) -> dict[str, Any]:
    if principal is None:
        return {"principal": None}
    return {"principal": str(principal.user_id), "tenant": str(principal.tenant_id), "via": principal.via}


def anybody(request: HttpRequest) -> JsonResponse:
    return JsonResponse(told(request.principal))  # type: ignore[attr-defined]


async def anybody_async(request: HttpRequest) -> JsonResponse:
    return JsonResponse(told(request.principal) | {"user": str(request.user)})  # type: ignore[attr-defined]


@person_required
def page(request: HttpRequest, principal: Principal) -> HttpResponse:
    return HttpResponse(f"Hello {principal.user_name}")


class Rest(APIView):
    def get(self, request: Request) -> Response:
        return Response(told(request.user))  # type: ignore[arg-type]

    def post(self, request: Request) -> Response:
        return Response({"got": request.data})


@csrf_exempt
def failing(request: HttpRequest, how: str) -> HttpResponse:
    raise {
        "database": OperationalError("the connection is lost"),
        "missing": NotFound("There is no such chat."),
        "defect": ZeroDivisionError("a defect"),
    }[how]


async def failing_async(request: HttpRequest, how: str) -> HttpResponse:
    return failing(request, how)


urlpatterns = [
    path("", include(accounts.pages)),
    path("", include(tenants.pages)),
    path("api/v1/", include(tenants.api)),
    path("chat/", page),
    path("v1/probe", anybody_async),
    path("v1/probe-sync", anybody),
    path("api/v1/probe/", Rest.as_view()),
    path("anybody/", anybody),
    path("fail/<how>/", failing),
    path("v1/fail/<how>", failing),
    path("v1/fail-async/<how>", failing_async),
    path("admin/", admin.site.urls),
    path("manage/", manage.urls),
]

handler400 = "apps.tenants.edge.problems.bad_request"
handler403 = "apps.tenants.edge.problems.permission_denied"
handler404 = "apps.tenants.edge.problems.not_found"
handler500 = "apps.tenants.edge.problems.server_error"
