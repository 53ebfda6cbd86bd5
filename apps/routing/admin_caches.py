"""The answer caches in both administrations: every tenant's for operators, its own for each workspace."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from apps.routing.cache_settings import forget_if_off, wrong_with
from apps.routing.models import CacheSettings
from apps.routing.selectors import invalidate
from apps.tenants.admin_changes import ALIAS as ENGINE
from apps.tenants.admin_engine import EngineAdmin, EngineForm
from apps.tenants.admin_scoped import ALIAS as OWN
from apps.tenants.admin_scoped import ScopedAdmin, ScopedForm, caller
from apps.tenants.admin_sites import manage
from apps.tenants.policy import Action

_SEMANTIC = ("semantic", "embedding_model", "threshold", "semantic_ttl_seconds", "max_entries")
_FIELDSETS: tuple[tuple[str | None, Any], ...] = (
    ("The very same question", {"fields": ("exact", "exact_ttl_seconds", "scope")}),
    ("The same in other words", {"fields": _SEMANTIC}),
)


class _Checked:
    """Both forms refuse what the other doors refuse."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        for name, words in wrong_with(self.instance, ()).items():  # type: ignore[attr-defined]
            self.add_error(name if name in self.fields else None, words)  # type: ignore[attr-defined]


class CacheSettingsForm(_Checked, EngineForm[CacheSettings]):
    class Meta:
        model = CacheSettings
        fields = "__all__"


class OwnCacheSettingsForm(_Checked, ScopedForm[CacheSettings]):
    class Meta:
        model = CacheSettings
        exclude = ("tenant",)


class CacheSettingsAdmin(EngineAdmin[CacheSettings]):
    form = CacheSettingsForm
    list_display = ("tenant", "exact", "semantic", "threshold", "scope", "changed_at")
    list_filter = ("exact", "scope")
    list_select_related = ("tenant",)
    fieldsets = ((None, {"fields": ("tenant",)}), *_FIELDSETS)

    def save_model(self, request: HttpRequest, obj: CacheSettings, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        forget_if_off(obj, ENGINE)
        transaction.on_commit(invalidate, using=ENGINE)


class OwnCacheSettingsAdmin(ScopedAdmin[CacheSettings]):
    view_action, change_action = Action.TENANT_READ, Action.TENANT_CHANGE
    adds = True
    form = OwnCacheSettingsForm
    list_display = ("exact", "semantic", "threshold", "scope", "changed_at")
    list_display_links = list_display
    fieldsets = _FIELDSETS

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """There is at most one row."""
        return super().has_add_permission(request, obj) and not self.get_queryset(request).exists()

    def save_model(self, request: HttpRequest, obj: CacheSettings, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        forget_if_off(obj, OWN)
        transaction.on_commit(lambda: invalidate(caller(request).tenant_id), using=OWN)


def register() -> None:
    """Called by `admin`, which Django reads."""
    admin.site.register(CacheSettings, CacheSettingsAdmin)
    manage.register(CacheSettings, OwnCacheSettingsAdmin)
