"""Pages on which people say what models are told before each question: the workspace to all, each person for one."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.problems import Problem
from apps.tenants import instructions, teams
from apps.tenants.contracts import Principal
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.policy import Action, allows, opens


class InstructionsForm(forms.Form):
    instructions = forms.CharField(
        max_length=instructions.MAX_CHARACTERS, required=False, widget=forms.Textarea, strip=False
    )

    def clean_instructions(self) -> str:
        # Browsers send line ends as two characters; models are told one.
        return str(self.cleaned_data["instructions"]).replace("\r\n", "\n")


class AnswersForm(InstructionsForm):
    max_output_tokens = forms.IntegerField(
        label="Most tokens in an answer", min_value=1, max_value=teams.MOST_OUTPUT_TOKENS, required=False
    )
    summaries = forms.BooleanField(label="Summarise what no longer fits", required=False)


@opens(GET=Action.SELF, POST=Action.SELF)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def own_instructions(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What models are told of the caller."""
    form = InstructionsForm(initial={"instructions": instructions.of(principal).own})
    if request.method == "POST":
        form = InstructionsForm(request.POST)
        try:
            if form.is_valid():
                instructions.set_own(principal, form.cleaned_data["instructions"])
                messages.success(request, "Saved. Models are told from your next question on.")
                return redirect("own_instructions")
        except Problem as problem:
            show_problem(form, problem)
    return _page(request, "tenants/own_instructions.html", form)


@opens(GET=Action.TENANT_READ, POST=Action.TENANT_CHANGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def answers(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What every model is told in this workspace, and how long an answer may be."""
    tenant = teams.tenant(principal)
    kept = {name: getattr(tenant, name) for name in AnswersForm.base_fields}
    form = AnswersForm(initial=kept)
    if request.method == "POST":
        form = AnswersForm(request.POST)
        try:
            if form.is_valid():
                given = form.cleaned_data
                bound = given["max_output_tokens"] or 0
                teams.change_tenant(principal, max_output_tokens=bound, summaries=given["summaries"])
                instructions.set_workspace(principal, given["instructions"])
                messages.success(request, "Saved. It holds from the next question on.")
                return redirect("answers")
        except Problem as problem:
            show_problem(form, problem)
    changes = allows(principal.role, Action.TENANT_CHANGE)
    return _page(request, "tenants/answers.html", form, changes=changes, tenant=tenant)


def _page(request: HttpRequest, template: str, form: forms.Form, **context: object) -> HttpResponse:
    told = {"form": form, "longest": f"{instructions.MAX_CHARACTERS:,}", **context}
    return render(request, template, told, status=400 if form.errors else 200)
