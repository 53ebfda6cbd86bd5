"""Reading the audit log: REST, and the page in the workspace's settings. Exports leave as they are read."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from django import forms
from django.db import connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.tenants import audit_log, membership
from apps.tenants.audit_log import Entry, Wanted
from apps.tenants.contracts import Principal
from apps.tenants.edge.pages import person_required
from apps.tenants.edge.rest import principal_of
from apps.tenants.policy import Action, opens
from apps.tenants.scope import database_step

_PAGE = 50
_CONTENT_TYPES = {"jsonl": "application/jsonl; charset=utf-8", "csv": "text/csv; charset=utf-8"}
_VIA = {
    "session": "signed in",
    "jwt": "by a token",
    "api_key": "by an API key",
    "admin": "in the administration",
    "scim": "by the directory",
    "command": "on the command line",
    "job": "by the system",
}
# What the filter offers: how actions begin, and what they are about. Whole actions are taken, too.
_KINDS = {
    "member.": "Members: joined, left, roles, suspended",
    "invitation.": "Invitations",
    "team.": "Teams",
    "model_rule.": "Model rules",
    "tenant.": "The workspace itself",
    "api_key.": "API keys",
    "identity_provider.": "Identity providers",
    "session.": "Sessions",
    "quota.": "Quotas",
    "audit.": "Reading this log",
}
# What of an entry's data says at a glance which thing it is about.
_NAMING = ("email", "name", "tier", "user_name", "slug")
_TARGET = re.compile(r"\A[a-z_]{1,60}(:[^\x00\ud800-\udfff]{1,64})?\Z")
_STORABLE = re.compile(r"\A[^\x00\ud800-\udfff]*\Z")


class FiltersSerializer(serializers.Serializer[Any]):
    """Which entries, and how they are wanted. Times without an offset are UTC."""

    action = serializers.RegexField(_STORABLE, required=False, default="", max_length=80, allow_blank=True)
    actor = serializers.RegexField(_STORABLE, required=False, default="", max_length=254, allow_blank=True)
    target = serializers.RegexField(_TARGET, required=False, default="", max_length=125, allow_blank=True)
    since = serializers.DateTimeField(required=False, default=None, default_timezone=UTC)
    until = serializers.DateTimeField(required=False, default=None, default_timezone=UTC)
    before = serializers.IntegerField(required=False, default=None, min_value=1, max_value=2**63 - 1)
    limit = serializers.IntegerField(required=False, default=_PAGE, min_value=1, max_value=audit_log.MAX_PAGE)
    file = serializers.ChoiceField(audit_log.FORMATS, required=False, default="jsonl")

    def wanted(self) -> Wanted:
        """The filters of a valid query."""
        given = self.validated_data
        kind, _, target_id = given["target"].partition(":")
        return Wanted(given["action"], given["actor"], kind, target_id, given["since"], given["until"])


class AuditEntrySerializer(serializers.Serializer[Any]):
    seq = serializers.IntegerField(help_text="Entries of a workspace are numbered from 1, without a hole.")
    at = serializers.DateTimeField()
    id = serializers.UUIDField()
    actor_id = serializers.UUIDField(allow_null=True)
    actor = serializers.CharField(help_text="As they were called then.")
    via = serializers.CharField(help_text="session, jwt, api_key, admin, scim, command or job.")
    action = serializers.CharField()
    target_kind = serializers.CharField()
    target_id = serializers.CharField()
    address = serializers.IPAddressField(allow_null=True)
    request_id = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]  # the name of a field, not the attribute
    previous_hash = serializers.CharField(help_text="SHA-256 in hexadecimal: the hash of the entry before.")
    hash = serializers.CharField(help_text="SHA-256 in hexadecimal, over all of this.")


class AuditPageSerializer(serializers.Serializer[Any]):
    items = AuditEntrySerializer(many=True)
    next = serializers.IntegerField(allow_null=True, help_text="Pass as `before` to read on; null at the end.")


def _whole(maximum: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": maximum}


_FILTERS = [
    OpenApiParameter("action", str, description="`member.role_changed`, or all that begin with `member.`"),
    OpenApiParameter("actor", str, description="An id, or a part of the name."),
    OpenApiParameter("target", str, description="`api_key`, or one of them: `api_key:<id>`"),
    OpenApiParameter("since", OpenApiTypes.DATETIME, description="From this moment on."),
    OpenApiParameter("until", OpenApiTypes.DATETIME, description="Before this moment."),
]


class AuditView(APIView):
    """The workspace's audit log, the newest entries first. Reading it is an entry, once in 15 minutes."""

    actions = {"GET": Action.AUDIT_READ}

    @extend_schema(
        operation_id="audit_list",
        parameters=[
            *_FILTERS,
            OpenApiParameter("before", _whole(2**63 - 1), description="Cursor from `next`."),
            OpenApiParameter("limit", _whole(audit_log.MAX_PAGE), description=f"{_PAGE} without it."),
        ],
        responses=AuditPageSerializer,
    )
    def get(self, request: Request) -> Response:
        given = FiltersSerializer(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        page = audit_log.page(
            principal_of(request),
            given.wanted(),
            before=given.validated_data["before"],
            limit=given.validated_data["limit"],
        )
        body = {"items": [audit_log.as_json(entry) for entry in page.entries], "next": page.next_before}
        return Response(body, headers={"Cache-Control": "no-store"})


class AuditExportView(APIView):
    """The workspace's whole audit log as a file, the earliest entry first. Each export is an entry."""

    actions = {"GET": Action.AUDIT_READ}

    @extend_schema(
        operation_id="audit_export",
        parameters=[
            *_FILTERS,
            OpenApiParameter("file", str, enum=audit_log.FORMATS, description="JSON Lines without it."),
        ],
        responses={(200, "application/jsonl"): OpenApiTypes.STR, (200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request) -> HttpResponseBase:
        given = FiltersSerializer(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        return _export(principal_of(request), given.wanted(), given.validated_data["file"])


class FilterForm(forms.Form):
    """What the page's filters are; days are UTC's."""

    action = forms.CharField(label="What", max_length=80, required=False)
    actor = forms.CharField(label="Who", max_length=254, required=False)
    since = forms.DateField(label="From", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label="To", required=False, widget=forms.DateInput(attrs={"type": "date"}))

    def wanted(self) -> Wanted:
        """The filters of a valid form; `until` is the last day that counts."""
        given = self.cleaned_data
        until = given["until"] + timedelta(days=1) if given["until"] and given["until"] < date.max else None
        return Wanted(
            action=given["action"], actor=given["actor"], since=_midnight(given["since"]), until=_midnight(until)
        )


@opens(GET=Action.AUDIT_READ)
@never_cache
@require_safe
@person_required
def audit_page(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The newest entries, filtered; older ones by a link."""
    form = FilterForm(request.GET)
    valid = form.is_valid()
    wanted = form.wanted() if valid else Wanted()
    page = audit_log.page(principal, wanted, before=_number(request.GET.get("before", "")), limit=_PAGE)
    names = {str(member.id): member.name for member in membership.members(principal)}
    filters = {name: value for name in form.fields if (value := request.GET.get(name, ""))}
    context = {
        "form": form,
        "filtered": bool(filters),
        "entries": [_shown(entry, names) for entry in page.entries],
        "older": urlencode({**filters, "before": page.next_before}) if page.next_before else "",
        "newest": urlencode(filters),
        "paged": "before" in request.GET,
        "principal": principal,
        "kinds": _KINDS.items(),
    }
    return render(request, "tenants/audit.html", context, status=200 if valid else 400)


@opens(POST=Action.AUDIT_READ)
@require_POST
@person_required
def audit_export(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The whole log as a file. A form sends it, so that no other site's link can start it."""
    form = "csv" if request.POST.get("file") == "csv" else "jsonl"
    return cast("HttpResponse", _export(principal, Wanted(), form))  # streamed, as every caller can bear


def _export(principal: Principal, wanted: Wanted, form: str) -> StreamingHttpResponse:
    export = audit_log.begin_export(principal, wanted, form)
    # This thread's connection would be held until the last line is sent, while each batch needs one: as many exports
    # as the pool has connections would wait for each other.
    connections["default"].close()
    name = f"audit-{slugify(principal.tenant_name) or 'workspace'}-{datetime.now(UTC):%Y%m%d}.{form}"
    return StreamingHttpResponse(
        _lines(principal, export, form),
        content_type=_CONTENT_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


async def _lines(principal: Principal, export: audit_log.Export, form: str) -> AsyncIterator[bytes]:
    """A batch at a time, each in a transaction of its own: however long the log, little is held."""
    yield audit_log.head_of(form)
    after = 0
    while batch := await database_step(audit_log.export_batch, principal, export, after):
        yield b"".join(audit_log.line_of(entry, form) for entry in batch)
        after = batch[-1].seq


def _shown(entry: Entry, names: dict[str, str]) -> dict[str, Any]:
    """An entry in words. `names` are the members' by their memberships' ids."""
    words = entry.action.replace(".", " ").replace("_", " ").replace("api key", "API key")
    words = words.replace("off boarded", "off-boarded")
    told = (value for name in _NAMING if isinstance(value := entry.data.get(name), str))
    return {
        "entry": entry,
        "words": words[:1].upper() + words[1:],
        "whom": names.get(entry.target_id) or names.get(str(entry.data.get("membership"))) or next(told, ""),
        "via": _VIA.get(entry.via, entry.via),
        "target": f"{entry.target_kind.replace('_', ' ')} {entry.target_id}".strip(),
        "details": [(name.replace("_", " "), _told(value)) for name, value in entry.data.items()],
    }


def _told(value: Any) -> str:
    """A value of an entry's data for reading: what it was and what it became."""
    if isinstance(value, dict):
        if value.keys() == {"from", "to"}:
            return f"{_told(value['from'])} → {_told(value['to'])}"
        return "; ".join(f"{name}: {_told(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_told, value)) or "none"
    if value is None or value == "":
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _midnight(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), UTC) if day else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
