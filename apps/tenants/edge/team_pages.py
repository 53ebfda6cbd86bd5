"""The pages of a workspace's teams, and of the rules that open tiers of models to roles and teams."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from apps.problems import Problem
from apps.tenants import membership, teams, tiers
from apps.tenants.contracts import ModelRuleSummary, Principal
from apps.tenants.edge.changes import Done, change, uuid_of
from apps.tenants.edge.member_pages import ROLE_CHOICES
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.policy import Action, allows, opens

_ASKING = tuple(role for role, _name in ROLE_CHOICES if allows(role, Action.CHAT_ASK))


class TeamForm(forms.Form):
    name = forms.CharField(label="Name", max_length=teams.MAX_NAME)


class RuleForm(forms.Form):
    """Whom a tier is open to."""

    tier = forms.CharField(label="Tier", max_length=teams.MAX_TIER)
    roles = forms.MultipleChoiceField(
        label="Open to roles", choices=ROLE_CHOICES, required=False, widget=forms.CheckboxSelectMultiple
    )
    teams = forms.MultipleChoiceField(label="Open to teams", required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, known: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teams_field = self.fields["teams"]
        assert isinstance(teams_field, forms.MultipleChoiceField)  # noqa: S101 - declared above
        teams_field.choices = known


@opens(GET=Action.TEAMS_READ, POST=Action.TEAMS_MANAGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def teams_page(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The teams and who is in them; open another."""
    form = TeamForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_bound:
        status = 400
        if form.is_valid():
            try:
                teams.create_team(principal, form.cleaned_data["name"])
                messages.success(request, "The team is open. Add its members now.")
                return redirect("teams")
            except Problem as problem:
                show_problem(form, problem)
                status = problem.status
    everybody = {member.id: member for member in membership.members(principal)}
    rules = teams.model_rules(principal)
    context = {
        "principal": principal,
        "form": form,
        "manages": allows(principal.role, Action.TEAMS_MANAGE),
        "teams": [
            {
                "team": team,
                "members": [everybody[one] for one in team.members if one in everybody],
                "others": [one for key, one in everybody.items() if key not in team.members and not one.suspended_at],
                "tiers": [rule.tier for rule in rules if team.id in rule.teams],
            }
            for team in teams.teams(principal)
        ],
    }
    return render(request, "tenants/teams.html", context, status=status)


@opens(GET=Action.RULES_READ, POST=Action.RULES_MANAGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def rules_page(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Each tier with its models and whom it is open to; open or close one."""
    known = [(str(team.id), team.name) for team in teams.teams(principal)]
    form, status = None, 200
    if request.method == "POST":
        form = RuleForm(known, request.POST)
        status = 400
        if form.is_valid():
            given = form.cleaned_data
            try:
                named = [uuid_of(one) for one in given["teams"]]
                teams.set_model_rule(principal, given["tier"].strip(), given["roles"], named)
                messages.success(request, f"Models of the tier “{given['tier']}” are open to those you named alone.")
                return redirect("rules")
            except Problem as problem:
                show_problem(form, problem)
                status = problem.status
    context = {
        "principal": principal,
        "manages": allows(principal.role, Action.RULES_MANAGE),
        "tiers": _tiers(principal, known, form),
        "has_teams": bool(known),
        "other": form if form is not None and form["tier"].value() not in tiers.tiers(principal.tenant_id) else None,
    }
    return render(request, "tenants/rules.html", context, status=status)


def _tiers(principal: Principal, known: list[tuple[str, str]], wrong: RuleForm | None) -> list[dict[str, Any]]:
    """The tiers that have models or a rule, each with a form of its rule; `wrong` is the one that was sent."""
    models = tiers.tiers(principal.tenant_id)
    rules = {rule.tier: rule for rule in teams.model_rules(principal)}
    names = dict(known)
    found = []
    for number, tier in enumerate(sorted(models.keys() | rules.keys())):
        rule: ModelRuleSummary | None = rules.get(tier)
        roles = rule.roles if rule else _ASKING  # a tier without a rule is open to these
        given = {"tier": tier, "roles": roles, "teams": [str(one) for one in rule.teams] if rule else []}
        form = RuleForm(known, initial=given, auto_id=f"id_{number}_%s")
        if wrong is not None and wrong["tier"].value() == tier:
            wrong.auto_id = f"id_{number}_%s"
            form = wrong
        told = [names[str(one)] for one in rule.teams if str(one) in names] if rule else []
        found.append({"tier": tier, "models": models.get(tier, []), "rule": rule, "teams": told, "form": form})
    return found


@change(Action.TEAMS_MANAGE, "teams")
def rename_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> Done:
    earlier = teams.rename_team(principal, ids["team_id"], request.POST.get("name", ""))
    return Done("The team is renamed.", reverse("team_rename", args=[ids["team_id"]]), [("name", earlier)])


@change(Action.TEAMS_MANAGE, "teams")
def delete_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    teams.delete_team(principal, ids["team_id"])
    return "The team is dissolved."


@change(Action.TEAMS_MANAGE, "teams")
def add_to_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> Done:
    member = uuid_of(request.POST.get("membership_id", ""))
    teams.add_member(principal, ids["team_id"], member)
    return Done("The member is in the team.", reverse("team_member_remove", args=[ids["team_id"], member]))


@change(Action.TEAMS_MANAGE, "teams")
def remove_from_team(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> Done:
    teams.remove_member(principal, ids["team_id"], ids["membership_id"])
    back = reverse("team_member_add", args=[ids["team_id"]])
    return Done("The member is out of the team.", back, [("membership_id", str(ids["membership_id"]))])


@change(Action.RULES_MANAGE, "rules")
def remove_rule(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> Done:
    tier = request.POST.get("tier", "")
    before = next((rule for rule in teams.model_rules(principal) if rule.tier == tier), None)
    teams.remove_model_rule(principal, tier)
    fields = [("tier", tier)]
    if before is not None:
        known = {team.id for team in teams.teams(principal)}
        fields += [("roles", role) for role in before.roles] + [
            ("teams", str(team)) for team in before.teams if team in known
        ]
    return Done("The tier is open to everybody again.", reverse("rules"), fields)
