"""The page of a workspace's members: who belongs here, who is invited, and what is done about them."""

import re
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.problems import Problem
from apps.tenants import membership, teams
from apps.tenants.contracts import MemberSummary, NewInvitation, Principal
from apps.tenants.edge.changes import Done, change, words_of
from apps.tenants.edge.invitations import invitation_address, send
from apps.tenants.edge.pages import person_required
from apps.tenants.policy import Action, Role, allows, opens

PER_PAGE = 25
MAX_AT_ONCE = 50  # invitations that one form sends
ROLE_CHOICES = [(role.value, role.value.replace("_", " ").capitalize()) for role in Role]
# What each role may do, in a few words.
ROLE_WORDS = {
    Role.OWNER.value: "Everything, and hands the workspace over",
    Role.ADMIN.value: "Members, teams, rules, keys, sign-in and audit",
    Role.BILLING_ADMIN.value: "Asks models; sees usage and sets limits",
    Role.MEMBER.value: "Asks models; makes keys of their own",
    Role.VIEWER.value: "Reads; asks nothing",
}
_STANDINGS = [
    ("", "Everybody"),
    ("active", "May enter"),
    ("awaited", "Has not come yet"),
    ("suspended", "Suspended"),
    ("unprotected", "Without second factor"),
]
_ADDRESS = re.compile(r"[^\s,;<>()\"]+@[^\s,;<>()\"]+")


class InvitationForm(forms.Form):
    """One or many addresses, as they are copied from a mail program or a table."""

    email = forms.CharField(
        label="E-mail addresses", max_length=20_000, help_text=f"One or many, at most {MAX_AT_ONCE} at once."
    )
    role = forms.ChoiceField(label="Role", choices=ROLE_CHOICES, initial=Role.MEMBER.value)

    def clean_email(self) -> list[str]:
        text = self.cleaned_data["email"]
        found = list(dict.fromkeys(one.strip(".'").lower() for one in _ADDRESS.findall(text)))
        if not found:
            raise forms.ValidationError("Enter an e-mail address, such as name@example.com.")
        if len(found) > MAX_AT_ONCE:
            raise forms.ValidationError(f"These are {len(found)} addresses. Invite at most {MAX_AT_ONCE} at once.")
        return found


class SearchForm(forms.Form):
    """Whom the list shows. What is not understood is not asked for."""

    q = forms.CharField(label="Search", max_length=120, required=False)
    role = forms.ChoiceField(label="Role", choices=[("", "Any role"), *ROLE_CHOICES], required=False)
    standing = forms.ChoiceField(label="Standing", choices=_STANDINGS, required=False)

    def chosen(self, members: list[MemberSummary]) -> list[MemberSummary]:
        """Those of `members` that were asked for."""
        self.is_valid()
        given = self.cleaned_data
        words = given.get("q", "").lower().split()
        return [
            member
            for member in members
            if all(word in f"{member.name} {member.email}".lower() for word in words)
            and given.get("role", "") in ("", member.role)
            and given.get("standing", "") in ("", *_standings(member))
        ]


def _standings(member: MemberSummary) -> set[str]:
    standing = "awaited" if member.is_awaited else "suspended" if member.suspended_at else "active"
    return {standing} if member.has_second_factor or standing != "active" else {standing, "unprotected"}


@opens(GET=Action.MEMBERS_READ, POST=Action.MEMBERS_MANAGE)
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def members(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Who belongs here; invite people. An invitation's link is on the answering page and nowhere else."""
    if request.method != "POST":
        if request.htmx and not request.htmx.history_restore_request:  # type: ignore[attr-defined]
            return render(request, "tenants/_people.html", _people(request, principal) | {"is_part": True})
        return _page(request, principal, InvitationForm())
    form = InvitationForm(request.POST)
    if not form.is_valid():
        return _page(request, principal, form, status=400)
    made: list[NewInvitation] = []
    refused: dict[str, str] = {}
    status = 400
    for email in form.cleaned_data["email"]:
        try:
            made.append(membership.invite(principal, email, form.cleaned_data["role"]))
        except Problem as problem:
            refused[email] = " ".join((problem.fields or {}).get("email", [])) or words_of(problem)
            status = problem.status
    if refused:
        form = InvitationForm({"email": "\n".join(refused), "role": form.cleaned_data["role"]})
        form.is_valid()
        for email, why in refused.items():
            form.add_error("email", f"{email}: {why}" if len(refused) > 1 or made else why)
    return _page(request, principal, form if refused else InvitationForm(), made=made, status=200 if made else status)


@opens(POST=Action.MEMBERS_MANAGE)
@never_cache
@require_POST
@person_required
def renew(request: HttpRequest, principal: Principal, invitation_id: Any) -> HttpResponse:
    """A new link for somebody who lost theirs or came too late; the old one is dead."""
    made = membership.renew_invitation(principal, invitation_id)
    return _page(request, principal, InvitationForm(), made=[made])


def _people(request: HttpRequest, principal: Principal) -> dict[str, Any]:
    """The list as it was asked for, a page of it."""
    everybody = membership.members(principal)
    search = SearchForm(request.GET)
    found = search.chosen(everybody)
    asked = {name: value for name in ("q", "role", "standing") if (value := search.cleaned_data.get(name))}
    manages = allows(principal.role, Action.MEMBERS_MANAGE)
    demanded = teams.tenant(principal).requires_second_factor
    page = Paginator(found, PER_PAGE).get_page(request.GET.get("page"))
    return {
        "principal": principal,
        "page": page,
        "found": len(found),
        "total": len(everybody),
        "suspended": sum(1 for one in everybody if one.suspended_at is not None),
        "search": search,
        "asked": asked,
        "asked_query": urlencode(asked),
        "query": urlencode({**asked, "page": page.number} if page.number > 1 else asked),
        "manages": manages,
        # Where none is demanded, it is no fault.
        "marks_unprotected": manages and (demanded or asked.get("standing") == "unprotected"),
        "role_choices": ROLE_CHOICES,
    }


def _page(
    request: HttpRequest,
    principal: Principal,
    form: InvitationForm,
    *,
    made: list[NewInvitation] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = _people(request, principal)
    sent = [{"email": one.email, "until": one.expires_at, "address": invitation_address(one)} for one in made or []]
    mailed = 0
    for one in made or []:
        if not send(one, principal):
            break  # what fails once would fail for all, and a person waits
        mailed += 1
    context |= {
        "form": form,
        "made": sent,
        "mailed": bool(sent) and mailed == len(sent),
        "invitations": membership.invitations(principal) if context["manages"] else [],
        "role_words": [(value, name, ROLE_WORDS[value]) for value, name in ROLE_CHOICES],
    }
    return render(request, "tenants/members.html", context, status=status)


@change(Action.MEMBERS_MANAGE, "members")
def change_role(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> Done:
    role = request.POST.get("role", "")
    earlier = membership.change_role(principal, ids["membership_id"], role)
    if earlier == role:
        return Done("The role stays as it was.")
    return Done("The role is changed.", reverse("member_role", args=[ids["membership_id"]]), [("role", earlier)])


@change(Action.MEMBERS_MANAGE, "members")
def suspend(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    membership.suspend(principal, ids["membership_id"])
    return "The member may not enter any more. Keys, sign-ins and open connections have ended."


@change(Action.MEMBERS_MANAGE, "members")
def reactivate(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    membership.reactivate(principal, ids["membership_id"])
    return "The member may enter again."


@change(Action.MEMBERS_MANAGE, "members")
def withdraw(request: HttpRequest, principal: Principal, ids: dict[str, Any]) -> str:
    membership.withdraw_invitation(principal, ids["invitation_id"])
    return "The invitation is withdrawn. Its link opens nothing any more."
