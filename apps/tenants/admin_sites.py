"""The two administrations: `/admin/` for the installation's operators, `/manage/` for a tenant's own administrators.

Both demand a second factor. The first works as `engine` over all tenants; every page of the second runs as `app`
inside the scope of the caller's tenant, so that the database itself shows and changes no other tenant's rows.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.problems import Problem
from apps.tenants import admin_changes
from apps.tenants.admin_engine import TAKEN, EngineAdmin
from apps.tenants.contracts import Principal, Via
from apps.tenants.edge.admin_access import note_password, second_factor_first
from apps.tenants.edge.admin_forms import OperatorsPasswordForm, ThrottledSignInForm
from apps.tenants.policy import Action, allows
from apps.tenants.scope import tenant_scope
from apps.tenants.services import still_stands

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite as _Site
else:
    from unfold.sites import UnfoldAdminSite as _Site

View = Callable[..., Any]

# What unfold's pages need beyond the rest of the product: Alpine evaluates expressions, and colours come in a style
# element. No other host, as everywhere.
_LOOSER = {"script-src": ["'self'", "'unsafe-eval'"], "style-src": ["'self'", "'unsafe-inline'"]}


def _loosened(response: HttpResponse) -> HttpResponse:
    response._csp_update = _LOOSER  # type: ignore[attr-defined]
    return response


class _GuardedSite(_Site):
    """Every page but signing in and out comes after the second factor."""

    index_template = "tenants/admin_index.html"

    def get_urls(self) -> list[Any]:
        """Without the short cut from a kind and an id to a page: it would look into any table, granted or not."""
        return [one for one in super().get_urls() if getattr(one, "name", None) != "view_on_site"]

    def admin_view(self, view: View, cacheable: bool = False) -> Any:
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if getattr(view, "__name__", "") == "logout":
                return cast(HttpResponse, view(request, *args, **kwargs))
            return second_factor_first(request) or self.opened(request, view, *args, **kwargs)

        guarded.__name__ = getattr(view, "__name__", "guarded")
        if getattr(view, "csrf_exempt", False):
            raise TypeError("a page of the administration is never exempt from the check against forged requests")
        checked = super().admin_view(guarded, cacheable)
        return lambda request, *args, **kwargs: _loosened(checked(request, *args, **kwargs))

    def opened(self, request: HttpRequest, view: View, *args: Any, **kwargs: Any) -> HttpResponse:
        """Make the page, for a person who may have it."""
        return cast(HttpResponse, view(request, *args, **kwargs))

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """unfold keeps found pages in the cache by person alone, whichever site and tenant they were found in."""
        raise Http404


class OperatorSite(_GuardedSite):
    """For the installation's operators. Shows what reads as `engine`; the admin pages that packages bring stay away."""

    settings_name = "UNFOLD"
    index_title = "Administration"
    login_form = ThrottledSignInForm

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        if admin_class is not None and issubclass(admin_class, EngineAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        user = request.user
        return bool(user.is_active and user.is_staff and getattr(user, "is_superuser", False))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302 and request.user.is_authenticated:
            note_password(request, response)
        return _loosened(response)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        from django.contrib.auth.views import PasswordChangeView

        request.current_app = self.name
        view = PasswordChangeView.as_view(
            form_class=OperatorsPasswordForm,
            success_url="/admin/password_change/done/",
            template_name="registration/password_change_form.html",
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return view(request)


class TenantSite(_GuardedSite):
    """For the administrators of one tenant: the one their session works in."""

    settings_name = "UNFOLD_MANAGE"
    index_title = "Your workspace"

    def has_permission(self, request: HttpRequest) -> bool:
        principal = principal_of(request)
        return principal is not None and allows(principal.role, Action.QUOTA_MANAGE)

    def opened(self, request: HttpRequest, view: View, *args: Any, **kwargs: Any) -> HttpResponse:
        """Inside the tenant's scope from the first look at the database to the last word of the page.

        What services do in a transaction of their own comes after it (see `afterwards`).
        """
        principal = cast(Principal, principal_of(request))
        try:
            with tenant_scope(principal.tenant_id):
                still_stands(principal)
                response: HttpResponse = view(request, *args, **kwargs)
                if hasattr(response, "render"):
                    response = response.render()
                if request.method == "POST":
                    admin_changes.settle("default")
        except IntegrityError:
            messages.error(request, TAKEN)
            return redirect(request.get_full_path())
        for step in getattr(request, "administration_afterwards", ()):
            try:
                step()
            except Problem as refused:
                messages.error(request, refused.detail)
                break  # what would follow has been told as not done
        return response

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The product's own sign-in; whoever is signed in already and may not enter is told so."""
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next", "/manage/"), settings.LOGIN_URL)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        raise Http404  # one's password belongs to one's profile

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        raise Http404


def principal_of(request: HttpRequest) -> Principal | None:
    """Who is signed in by a browser's session, and in which tenant."""
    principal: Principal | None = getattr(request, "principal", None)
    return principal if principal is not None and principal.via is Via.SESSION else None


def afterwards(request: HttpRequest, step: Callable[[], object]) -> None:
    """Do this once the page's own transaction is over, with problems told as messages."""
    if not hasattr(request, "administration_afterwards"):
        request.administration_afterwards = []  # type: ignore[attr-defined]
    request.administration_afterwards.append(step)  # type: ignore[attr-defined]


manage = TenantSite(name="manage")
