"""The settings' page of a workspace's answer caches."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.problems import Problem
from apps.routing import cache_settings
from apps.routing.contracts import CacheRules
from apps.routing.models import SCOPE_WORDS, CacheSettings
from apps.tenants.contracts import Principal
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.policy import Action, allows, opens

_MINUTE = 60
_DAY = 86_400
# Fields that people fill in in another unit than is stored: name on the page -> (column, seconds).
_UNITS = {"exact_ttl_minutes": ("exact_ttl_seconds", _MINUTE), "semantic_ttl_days": ("semantic_ttl_seconds", _DAY)}


class CachesForm(forms.Form):
    exact = forms.BooleanField(label="Answer the very same question from the cache", required=False)
    exact_ttl_minutes = forms.IntegerField(label="Minutes an answer is kept", min_value=1, max_value=10_080)
    scope = forms.ChoiceField(
        label="Whose answers are served", choices=CacheSettings.Scope.choices, help_text=SCOPE_WORDS
    )
    semantic = forms.BooleanField(label="Answer the same question in other words from the cache", required=False)
    threshold = forms.FloatField(label="How alike, up to 1", min_value=0.5, max_value=1)
    semantic_ttl_days = forms.IntegerField(label="Days an answer is kept", min_value=1, max_value=90)
    max_entries = forms.IntegerField(label="Answers kept at most", min_value=10, max_value=10_000)

    @property
    def wanted(self) -> dict[str, Any]:
        """What was filled in, by column."""
        named = {name: value for name, value in self.cleaned_data.items() if name not in _UNITS}
        counted = {column: self.cleaned_data[name] * seconds for name, (column, seconds) in _UNITS.items()}
        return named | counted

    @staticmethod
    def of(rules: CacheRules) -> "CachesForm":
        told = {name: getattr(rules, column) // seconds for name, (column, seconds) in _UNITS.items()}
        same = {name: getattr(rules, name) for name in ("exact", "semantic", "threshold", "max_entries")}
        return CachesForm(initial={**same, "scope": rules.scope.value, **told})


@opens(GET=Action.TENANT_READ, POST=Action.TENANT_CHANGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def caches_page(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Which caches are on, and how; owners and administrators change it."""
    rules = cache_settings.rules_of(principal)
    form, status = CachesForm.of(rules), 200
    if request.method == "POST":
        form, status = CachesForm(request.POST), 400
        if form.is_valid():
            try:
                cache_settings.change_rules(principal, **form.wanted)
                messages.success(request, "The answer caches are set.")
                return redirect("caches")
            except Problem as problem:
                show_problem(form, problem)
                status = problem.status
    changes = allows(principal.role, Action.TENANT_CHANGE)
    least = cache_settings.least_threshold(principal)
    context = {"principal": principal, "form": form, "rules": rules, "changes": changes}
    context |= {"least": least, "least_words": "" if least is None else f"{least:.2f}"}
    return render(request, "routing/caches.html", context, status=status)
