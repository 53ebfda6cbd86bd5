"""The base of every admin page: rows are read and written as `engine`, because administration crosses tenants."""

from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, models, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

ALIAS = "engine"

Row = TypeVar("Row", bound=models.Model)

if TYPE_CHECKING:
    # Generic for the type checker only; at run time these classes take no parameters.
    _ModelAdmin = admin.ModelAdmin[Row]
    _ModelForm = forms.ModelForm[Row]
else:

    class _Subscriptable:
        def __class_getitem__(cls, _parameter: Any) -> type:
            return cls

    class _ModelAdmin(_Subscriptable, admin.ModelAdmin):
        pass

    class _ModelForm(_Subscriptable, forms.ModelForm):
        pass


class EngineForm(_ModelForm[Row]):
    """Checks references and uniqueness where the rows are visible."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance._state.db = ALIAS


class EngineAdmin(_ModelAdmin[Row]):
    """A `ModelAdmin` on the `engine` alias. Deleting is off unless a subclass grants it: money and history name rows.

    The history (`LogEntry`) is written as usual. A value that another row already has is told as a message where
    Django's own check cannot see it.
    """

    form = EngineForm  # type: ignore[assignment]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Row]:
        return super().get_queryset(request).using(ALIAS)

    def save_model(self, request: HttpRequest, obj: Row, form: Any, change: bool) -> None:
        if change:
            # Only what was changed: some columns may not be written by this role.
            names = {field.name for field in obj._meta.concrete_fields}
            obj.save(using=ALIAS, update_fields=[name for name in form.changed_data if name in names])
        else:
            obj.save(using=ALIAS, force_insert=True)

    def delete_model(self, request: HttpRequest, obj: Row) -> None:
        obj.delete(using=ALIAS)

    def has_delete_permission(self, request: HttpRequest, obj: Row | None = None) -> bool:
        return False

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, **{**kwargs, "using": ALIAS})

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, **{**kwargs, "using": ALIAS})

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        return super().get_field_queryset(ALIAS, db_field, request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One transaction on `engine`, so that a row and its inlines are saved together or not at all."""
        try:
            with transaction.atomic(using=ALIAS):
                response = super().changeform_view(request, object_id, form_url, extra_context)
                # Rendered here, while what it reads is one state.
                return response.render() if hasattr(response, "render") else response
        except IntegrityError:
            messages.error(
                request, "Another row has that value already, or this one is still needed. Nothing was saved."
            )
            return redirect(request.get_full_path())


def log_operation(request: HttpRequest, rows: QuerySet[Any], message: str) -> None:
    """Write an action's rows into the administration's history."""
    user_id = request.user.pk
    assert user_id is not None  # noqa: S101 - the administration has made sure
    LogEntry.objects.log_actions(user_id, rows, action_flag=2, change_message=message)
