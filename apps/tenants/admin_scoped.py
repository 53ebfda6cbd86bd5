"""The base of every page of a tenant's own administration: as `app`, inside the tenant's scope, by the one policy."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.tenants import admin_changes, audit
from apps.tenants.admin_engine import BaseAdmin, BaseForm, BaseInline, Row
from apps.tenants.admin_sites import principal_of
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, allows

ALIAS = "default"


class ScopedForm(BaseForm[Row]):
    """A form of a row whose tenant is never asked for: it is the caller's."""


def caller(request: HttpRequest) -> Principal:
    """The administrator whose page this is."""
    principal = principal_of(request)
    if principal is None:
        raise RuntimeError("the site lets nobody in without a principal")
    return principal


class _ByPolicy:
    """What a role may do with rows is in the table of `policy.py`; an action of None is for nobody."""

    view_action: ClassVar[Action]
    change_action: ClassVar[Action | None] = None
    adds = False
    deletes = False

    def _may(self, request: HttpRequest, action: Action | None) -> bool:
        return action is not None and allows(caller(request).role, action)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_action)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.view_action)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, self.change_action)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.adds and self._may(request, self.change_action)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletes and self._may(request, self.change_action)


class ScopedInline(_ByPolicy, BaseInline[Row]):
    """Rows on the page of the row they belong to."""

    form = ScopedForm  # type: ignore[assignment]
    extra = 0


class ScopedAdmin(_ByPolicy, BaseAdmin[Row]):
    """A `ModelAdmin` of one tenant. `tenant_lookup` is the path to the tenant, for the filter beside the database's."""

    form = ScopedForm  # type: ignore[assignment]
    personal = False
    tenant_lookup = "tenant_id"
    list_fullwidth = True
    list_per_page = 50
    compressed_fields = True
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Row]:
        rows = super().get_queryset(request).using(ALIAS)
        return rows.filter(**{self.tenant_lookup: caller(request).tenant_id})

    def save_model(self, request: HttpRequest, obj: Row, form: Any, change: bool) -> None:
        before = admin_changes.stored(obj, ALIAS) if change else None
        if change:
            names = {field.name for field in obj._meta.concrete_fields}
            obj.save(using=ALIAS, update_fields=[name for name in form.changed_data if name in names])
        else:
            obj.tenant_id = caller(request).tenant_id  # type: ignore[attr-defined]
            obj.save(using=ALIAS, force_insert=True)
        admin_changes.note_saved(audit.Actor.of(caller(request)), obj, before, using=ALIAS)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        principal = caller(request)
        actor = audit.Actor.of(principal)
        rows = formset.save(commit=False)
        for row in formset.deleted_objects:
            admin_changes.note_removed(actor, row, using=ALIAS)
            row.delete(using=ALIAS)
        for row in rows:
            before = None if row._state.adding else admin_changes.stored(row, ALIAS)
            row.tenant_id = principal.tenant_id
            row.save(using=ALIAS)
            admin_changes.note_saved(actor, row, before, using=ALIAS)

    def delete_model(self, request: HttpRequest, obj: Row) -> None:
        admin_changes.note_removed(audit.Actor.of(caller(request)), obj, using=ALIAS)
        obj.delete(using=ALIAS)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Row]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id) if self.personal and object_id and request.method == "GET" else None
        if row is not None:
            kind = admin_changes.kind_of(self.model)
            audit.record_read(caller(request), f"{kind}.read", target=(kind, str(row.pk)))
        response: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        return response

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if self.personal and request.method == "GET":
            kind = admin_changes.kind_of(self.model)
            audit.record_read(caller(request), f"{kind}.listed", target=("tenant", caller(request).tenant_id))
        return super().changelist_view(request, extra_context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """A row's history is what the tenant's audit chain says of it."""
        row = self.get_object(request, object_id)
        if row is None:
            return redirect("manage:index")
        return redirect(f"{reverse('manage:tenants_auditentry_changelist')}?target_id={row.pk}")

    # Django's own history is one table for the whole installation; a tenant's is its audit chain.
    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        return None

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        return None


class ScopedReadOnly(ScopedAdmin[Row]):
    """To be looked at."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
