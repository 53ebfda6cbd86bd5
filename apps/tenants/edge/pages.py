"""Pages: signing up and signing in."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec

from django import forms
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts import captcha
from apps.accounts.edge.forms import SignInForm, SignUpForm
from apps.accounts.errors import StepUpRequired
from apps.problems import Forbidden, Problem
from apps.tenants import selectors, services
from apps.tenants.contracts import Principal, Via
from apps.tenants.edge import sign_in_guard
from apps.tenants.edge.entering import enter
from apps.tenants.edge.problems import headers_of
from apps.tenants.edge.throttle import SIGN_IN, SIGN_UP
from apps.tenants.errors import TooManyTries
from apps.tenants.policy import public

P = ParamSpec("P")
PersonsView = Callable[Concatenate[HttpRequest, Principal, P], HttpResponse]


def person_required(view: PersonsView[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Hands the signed-in person to a page's view; everybody else is sent to sign in first, and then back."""

    @wraps(view)
    def checked(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        refused: Problem | None = request.credential_problem  # type: ignore[attr-defined]
        if refused is not None:
            raise refused
        principal: Principal | None = request.principal  # type: ignore[attr-defined]
        if principal is None:
            return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
        if principal.via is not Via.SESSION:
            raise Forbidden("This is a page for people. Programs use /api/v1/.")
        return view(request, principal, *args, **kwargs)

    return checked


@public("who signs in has no session yet")
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponseBase:
    """Sign in, into the tenant joined first, and go where the page before wanted to."""
    target = _target(request)
    if request.method != "POST":
        if request.principal is not None:  # type: ignore[attr-defined]
            return redirect(target)
        return _form_page(request, "accounts/login.html", SignInForm())
    form = SignInForm(request.POST)
    try:
        SIGN_IN.count(request, request.POST.get("email", ""))
        if not form.is_valid():
            return _form_page(request, "accounts/login.html", form, status=400)
    except Problem as problem:
        return _refused(request, "accounts/login.html", form, problem)
    given = form.cleaned_data
    try:
        tried = sign_in_guard.begin(request, given["email"], _proof(request), code=given["code"])
    except (StepUpRequired, TooManyTries) as problem:
        return _held_up(request, form, problem)
    user = auth.authenticate(request, username=given["email"], password=given["password"])
    if user is None:
        form.add_error(None, "E-mail address and password do not belong together. Check both.")
        return _form_page(request, "accounts/login.html", form, status=400)
    tried.succeeded()
    principal = selectors.principal_for(user.pk)
    if principal is None:
        form.add_error(None, "You are not a member of an active workspace. Ask its owner to add you.")
        return _form_page(request, "accounts/login.html", form, status=403)
    return enter(request, user, principal.tenant_id, target, tried.factor)


@public("who signs in has no session yet")
@never_cache
@require_POST
def sign_in_puzzle(request: HttpRequest) -> JsonResponse:
    """The puzzle that a try with this address would be asked for now, so that a page can solve it first; or null."""
    return JsonResponse({"puzzle": sign_in_guard.puzzle_due(request, request.POST.get("email", ""))})


@public("who signs up has no account yet")
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponseBase:
    """Make an account with a workspace of its own, and sign in."""
    if request.method != "POST":
        if request.principal is not None:  # type: ignore[attr-defined]
            return redirect(settings.LOGIN_REDIRECT_URL)
        return _form_page(request, "accounts/signup.html", SignUpForm())
    form = SignUpForm(request.POST)
    try:
        SIGN_UP.count(request, request.POST.get("email", ""))
        if not form.is_valid():
            return _form_page(request, "accounts/signup.html", form, status=400)
        given = form.cleaned_data
        tenant_name = given["tenant_name"] or f"{given['name'][:100]}'s workspace"
        tenant = services.sign_up(given["name"], given["email"], given["password"], tenant_name)
    except Problem as problem:
        return _refused(request, "accounts/signup.html", form, problem)
    user = auth.authenticate(request, username=given["email"], password=given["password"])
    if user is None:  # made inactive within this second
        return redirect(settings.LOGIN_URL)
    return enter(request, user, tenant.id, _target(request))


def _target(request: HttpRequest) -> str:
    """Where to go afterwards: `next`, if it stays in this house."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return target
    return settings.LOGIN_REDIRECT_URL


def _form_page(
    request: HttpRequest,
    template: str,
    form: forms.Form,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> HttpResponse:
    target = _target(request)
    context = {
        "form": form,
        "next": target if target != settings.LOGIN_REDIRECT_URL else "",
        "redirect_field": format_html('<input type="hidden" name="next" value="{}">', target),
        "mails": settings.MAIL_IS_CONFIGURED,
        **more,
    }
    page = render(request, template, context, status=status)
    for header, value in (headers or {}).items():
        page[header] = value
    return page


def _proof(request: HttpRequest) -> str:
    """What the browser solved, under our name or that of a CAPTCHA's script."""
    names = ("proof", "cf-turnstile-response", "h-captcha-response", "g-recaptcha-response")
    return next((found for name in names if (found := request.POST.get(name, ""))), "")


def _held_up(request: HttpRequest, form: forms.Form, problem: StepUpRequired | TooManyTries) -> HttpResponse:
    """The form with what opens the way: a puzzle where waiting is over, and a code of a second factor in any case."""
    form.add_error(None, problem.detail)
    asked = None
    if isinstance(problem, StepUpRequired):
        asked = {
            "kind": captcha.captcha().kind,
            "challenge": (problem.fields or {})["proof"][0],
            "script": settings.CAPTCHA_SCRIPT_URL,
            "css_class": settings.CAPTCHA_CLASS,
        }
    more = {"step_up": asked, "code_helps": True}
    return _form_page(request, "accounts/login.html", form, status=problem.status, headers=headers_of(problem), **more)


def _refused(request: HttpRequest, template: str, form: forms.Form, problem: Problem) -> HttpResponse:
    """The same form with what was wrong, as its status says."""
    if problem.status >= 500:
        raise problem
    show_problem(form, problem)
    return _form_page(request, template, form, status=problem.status, headers=headers_of(problem))


def show_problem(form: forms.Form, problem: Problem) -> None:
    """Put a problem's messages at the form's fields, or above it."""
    form.full_clean()
    fields: Mapping[str, Sequence[str]] = problem.fields or {}
    for name, found in fields.items():
        form.add_error(name if name in form.fields else None, list(found))
    if not fields:
        form.add_error(None, problem.detail)
