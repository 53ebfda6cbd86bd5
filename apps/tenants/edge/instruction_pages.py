"""Pages on which people say what models are told before each question: the workspace to all, each person for one."""

from decimal import Decimal

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.problems import Problem
from apps.tenants import instructions, teams
from apps.tenants.contracts import LONGEST_FIRST_TOKEN_MS, MOST_USD, NANOUSD_PER_USD, Principal
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
    max_cost_usd = forms.DecimalField(
        label="Most an answer may cost, US $",
        min_value=Decimal("0.000000001"),
        max_value=MOST_USD,
        max_digits=13,
        decimal_places=9,
        required=False,
        error_messages={"min_value": "Type more than nothing, or leave it empty."},
    )
    max_first_token_ms = forms.IntegerField(
        label="First word within, ms", min_value=1, max_value=LONGEST_FIRST_TOKEN_MS, required=False
    )
    summaries = forms.BooleanField(label="Summarise what no longer fits", required=False)

    def keep(self, principal: Principal) -> None:
        """Set the workspace as it was typed; a bound that is empty is none. Raises a `Problem`."""
        given = self.cleaned_data
        teams.change_tenant(
            principal,
            max_output_tokens=given["max_output_tokens"] or 0,
            max_cost_nanousd=int((given["max_cost_usd"] or 0) * NANOUSD_PER_USD),
            max_first_token_ms=given["max_first_token_ms"] or 0,
            summaries=given["summaries"],
        )
        instructions.set_workspace(principal, given["instructions"])


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
    cost = tenant.max_cost_nanousd
    now = {
        "instructions": tenant.instructions,
        "max_output_tokens": tenant.max_output_tokens,
        "max_cost_usd": None if cost is None else f"{(Decimal(cost) / NANOUSD_PER_USD).normalize():f}",
        "max_first_token_ms": tenant.max_first_token_ms,
        "summaries": tenant.summaries,
    }
    form = AnswersForm(initial=now)
    if request.method == "POST":
        form = AnswersForm(request.POST)
        try:
            if form.is_valid():
                form.keep(principal)
                messages.success(request, "Saved. It holds from the next question on.")
                return redirect("answers")
        except Problem as problem:
            show_problem(form, problem)
    changes = allows(principal.role, Action.TENANT_CHANGE)
    return _page(request, "tenants/answers.html", form, changes=changes, tenant=tenant, now=now)


def _page(request: HttpRequest, template: str, form: forms.Form, **context: object) -> HttpResponse:
    told = {"form": form, "longest": f"{instructions.MAX_CHARACTERS:,}", **context}
    return render(request, template, told, status=400 if form.errors else 200)
