"""The base of every page for operators: rows are read and written as `engine`, because administration crosses tenants.

What is changed is told in the audit chain of the tenant it concerns, in the change's own transaction; and what is read
of other people too.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.tenants import admin_changes
from apps.tenants.admin_changes import ALIAS

Row = TypeVar("Row", bound=models.Model)

if TYPE_CHECKING:
    # Generic for the type checker only; at run time these classes take no parameters.
    BaseAdmin = admin.ModelAdmin[Row]
    BaseInline = admin.TabularInline[Row, Any]
    BaseForm = forms.ModelForm[Row]
else:
    from unfold.admin import ModelAdmin as _UnfoldAdmin
    from unfold.admin import TabularInline as _UnfoldInline

    class _Subscriptable:
        def __class_getitem__(cls, _parameter: Any) -> type:
            return cls

    class BaseAdmin(_Subscriptable, _UnfoldAdmin):
        pass

    class BaseInline(_Subscriptable, _UnfoldInline):
        pass

    class BaseForm(_Subscriptable, forms.ModelForm):
        pass


TAKEN = "Another row has that value already, or this one is still needed. Nothing was saved."


class EngineForm(BaseForm[Row]):
    """Checks references and uniqueness where the rows are visible."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance._state.db = ALIAS


class _Engine:
    """References are looked up where the rows are visible."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "using": ALIAS})  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **{**kwargs, "using": ALIAS})  # type: ignore[misc]

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        return super().get_field_queryset(ALIAS, db_field, request)  # type: ignore[misc]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).using(ALIAS)  # type: ignore[misc]


class EngineInline(_Engine, BaseInline[Row]):
    """Rows on the page of the row they belong to."""

    form = EngineForm  # type: ignore[assignment]
    extra = 0


class EngineAdmin(_Engine, BaseAdmin[Row]):
    """A `ModelAdmin` on the `engine` alias. Deleting is off unless a subclass grants it: money and history name rows.

    `personal` says that rows tell of people: looking at them is told in the chain. A value that another row already
    has is told as a message where Django's own check cannot see it.
    """

    form = EngineForm  # type: ignore[assignment]
    personal = False
    list_fullwidth = True
    list_per_page = 50
    compressed_fields = True

    def told(self, request: HttpRequest, row: Row, form: Any) -> Mapping[str, Any]:
        """What else to say of a saved row, beside the columns that changed."""
        return {}

    def save_model(self, request: HttpRequest, obj: Row, form: Any, change: bool) -> None:
        before = admin_changes.stored(obj, ALIAS) if change else None
        if change:
            # Only what was changed: some columns may not be written by this role.
            names = {field.name for field in obj._meta.concrete_fields}
            obj.save(using=ALIAS, update_fields=[name for name in self.changed(form) if name in names])
        else:
            obj.save(using=ALIAS, force_insert=True)
        admin_changes.note_saved(admin_changes.operator(request), obj, before, told=self.told(request, obj, form))

    def changed(self, form: Any) -> list[str]:
        """Names of the fields that a form changes."""
        return list(form.changed_data)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        actor = admin_changes.operator(request)
        rows = formset.save(commit=False)
        for row in formset.deleted_objects:
            admin_changes.note_removed(actor, row)
            row.delete(using=ALIAS)
        for row in rows:
            before = None if row._state.adding else admin_changes.stored(row, ALIAS)
            tenant = admin_changes.tenant_of(form.instance)
            if tenant is not None and hasattr(row, "tenant_id"):
                row.tenant_id = tenant
            row.save(using=ALIAS)
            admin_changes.note_saved(actor, row, before)

    def delete_model(self, request: HttpRequest, obj: Row) -> None:
        with transaction.atomic(using=ALIAS):
            admin_changes.note_removed(admin_changes.operator(request), obj)
            obj.delete(using=ALIAS)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Row]) -> None:
        with transaction.atomic(using=ALIAS):
            for row in queryset:
                self.delete_model(request, row)

    def has_delete_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if self.personal and request.method == "GET":
            kind = admin_changes.kind_of(self.model)
            asked = {name: values for name, values in request.GET.lists() if name not in ("p", "o", "all")}
            admin_changes.note_read(
                admin_changes.operator(request), None, f"{kind}.listed", target=(kind, ""), data={"asked": asked}
            )
        return super().changelist_view(request, extra_context)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One transaction on `engine`, so that a row, its inlines and its audit entry are saved together or not."""
        try:
            with transaction.atomic(using=ALIAS):
                response = super().changeform_view(request, object_id, form_url, extra_context)
                if request.method == "POST":
                    admin_changes.settle(ALIAS)
                else:
                    self._note_opened(request, object_id)
                # Rendered here, while what it reads is one state.
                return response.render() if hasattr(response, "render") else response
        except IntegrityError:
            messages.error(request, TAKEN)
            return redirect(request.get_full_path())

    def _note_opened(self, request: HttpRequest, object_id: str | None) -> None:
        row = self.get_object(request, object_id) if self.personal and object_id else None
        if row is None:
            return
        kind = admin_changes.kind_of(self.model)
        admin_changes.note_read(
            admin_changes.operator(request),
            admin_changes.tenant_of(row),
            f"{kind}.read",
            target=(kind, str(row.pk)[:64]),
            data={},
        )


class ReadOnlyAdmin(EngineAdmin[Row]):
    """Rows that the system writes: to be looked at, by nobody changed."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False


def log_operation(request: HttpRequest, rows: QuerySet[Any], message: str) -> None:
    """Write an action's rows into the administration's history."""
    user_id = request.user.pk
    assert user_id is not None  # noqa: S101 - the administration has made sure
    LogEntry.objects.log_actions(user_id, rows, action_flag=2, change_message=message)
