"""The page on which a workspace decides what is screened, and sees what was found."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.problems import Problem
from apps.routing import safety_settings, safety_verdicts
from apps.routing.models import SafetyRules
from apps.safety import ALL_RULES, Action, Category, Direction
from apps.tenants.contracts import Principal
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.policy import Action as Permission
from apps.tenants.policy import opens

DAYS = 30
_CATEGORIES = {
    Category.SECRET: (
        "Secrets",
        "Keys, tokens and private keys score 85 and more, test keys 60, passwords by how random they look.",
    ),
    Category.PII: (
        "Personal data",
        "Cards score 90, bank and insurance numbers 80 to 90, e-mail addresses and telephone numbers 60.",
    ),
    Category.ABUSE: ("Abuse", "Threats, and questions how to harm somebody, score 70 to 95; a word alone 10 to 15."),
    Category.INJECTION: (
        "Orders to the model",
        "Text that tells a model to drop its rules, or that people cannot see, scores 55 to 95.",
    ),
}
_WAYS = {Direction.PROMPT: "what people send", Direction.ANSWER: "what models answer"}
_ACTIONS = [
    (Action.ALLOW.value, "Do nothing"),
    (Action.FLAG.value, "Note it"),
    (Action.REDACT.value, "Replace it"),
    (Action.BLOCK.value, "Block"),
]
_WHERE = {Direction.PROMPT.value: "Sent by people", Direction.ANSWER.value: "Answered by models"}
_DONE = {Action.FLAG.value: "Noted", Action.REDACT.value: "Replaced", Action.BLOCK.value: "Blocked"}
_MODERATED = [(value, str(words).capitalize()) for value, words in SafetyRules.Moderated.choices]
_NUMBER = {"class": "input", "inputmode": "numeric"}


def _threshold() -> forms.IntegerField:
    return forms.IntegerField(min_value=1, max_value=100, widget=forms.NumberInput(attrs={**_NUMBER, "max": 100}))


def _count(label: str, most: int) -> forms.IntegerField:
    return forms.IntegerField(label=label, min_value=0, max_value=most, widget=forms.NumberInput(attrs=_NUMBER))


def _choice(choices: Any) -> forms.ChoiceField:
    return forms.ChoiceField(choices=choices, widget=forms.Select(attrs={"class": "input"}))


class SafetyForm(forms.Form):
    """All decisions at once. A field for each category and direction: `prompt_secret_action`, `..._threshold`."""

    margin_characters = _count("Characters held back besides", safety_settings.MOST_MARGIN)
    redact_stored = forms.BooleanField(label="Keep questions with what is replaced in them", required=False)
    moderation_model = forms.ChoiceField(label="Moderation model", required=False)
    moderation_prompt = _choice(_MODERATED)
    moderation_answer = _choice(_MODERATED)
    moderation_threshold = _threshold()
    moderation_step_characters = _count("Characters of an answer in the first step", safety_settings.MOST_STEP)
    refuse_unreachable = forms.BooleanField(label="Let nothing pass while it cannot be reached", required=False)

    def __init__(self, models: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["moderation_model"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - declared above
        field.choices = [("", "None"), *models]
        for name in _cells():
            self.fields[f"{name}_action"] = _choice(_ACTIONS)
            self.fields[f"{name}_threshold"] = _threshold()

    def wanted(self) -> dict[str, Any]:
        """What was chosen, as `safety_settings.change` takes it."""
        given = self.cleaned_data
        names = list(self.base_fields)
        limits = {
            f"{direction}_limits": {
                category.value: {
                    "action": given[f"{direction}_{category}_action"],
                    "threshold": given[f"{direction}_{category}_threshold"],
                }
                for category in Category
            }
            for direction in Direction
        }
        return {**{name: given[name] for name in names}, **limits}

    def rows(self) -> list[dict[str, Any]]:
        """The table: a row for each category, with its fields for each direction."""
        return [
            {
                "name": name,
                "words": words,
                "cells": [
                    {
                        "label": f"{name}, {_WAYS[direction]}",
                        "way": _WAYS[direction],
                        "action": self[f"{direction}_{category}_action"],
                        "threshold": self[f"{direction}_{category}_threshold"],
                    }
                    for direction in Direction
                ],
            }
            for category, (name, words) in _CATEGORIES.items()
        ]


def _cells() -> list[str]:
    return [f"{direction}_{category}" for direction in Direction for category in Category]


def _screens(shown: Mapping[str, Any]) -> bool:
    limits = (limit for direction in Direction for limit in shown[f"{direction}_limits"].values())
    return bool(shown["moderation_model"]) or any(limit["action"] != Action.ALLOW for limit in limits)


def _initial(shown: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(shown)
    for direction in Direction:
        for category, limit in shown[f"{direction}_limits"].items():
            found[f"{direction}_{category}_action"] = limit["action"]
            found[f"{direction}_{category}_threshold"] = limit["threshold"]
    return found


@opens(GET=Permission.SAFETY_MANAGE, POST=Permission.SAFETY_MANAGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def safety_page(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What is screened and what was found; decide on it anew."""
    models, status = safety_settings.moderation_models(principal.tenant_id), 200
    if request.method == "POST":
        form, status = SafetyForm(models, request.POST), 400
        if form.is_valid():
            try:
                safety_settings.change(principal, form.wanted())
                messages.success(request, "The screening is changed. It holds within five seconds.")
                return redirect("safety")
            except Problem as problem:
                show_problem(form, problem)
                status = problem.status
    else:
        form = SafetyForm(models, initial=_initial(safety_settings.shown(principal)))
    told = {rule.id: rule.explanation for rule in ALL_RULES}
    found = [
        {
            "rule": one["rule"],
            "explanation": told.get(one["rule"], "").removesuffix("."),
            "where": _WHERE.get(one["direction"], one["direction"]),
            "done": _DONE.get(one["action"], one["action"]),
            "texts": one["texts"],
        }
        for one in safety_verdicts.counted(principal, DAYS)
    ]
    context = {"principal": principal, "form": form, "found": found, "days": DAYS, "has_models": bool(models)}
    context["screens"] = _screens(safety_settings.shown(principal))
    return render(request, "routing/safety.html", context, status=status)
