"""A workspace's own sign-in, for its administrators: REST and a page. A secret goes in and never comes out."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.problems import Problem
from apps.tenants import features, identity_providers
from apps.tenants.contracts import Principal
from apps.tenants.edge.fields import Text, Truth
from apps.tenants.edge.pages import person_required, show_problem
from apps.tenants.edge.rest import principal_of
from apps.tenants.errors import NotFound
from apps.tenants.features import Feature
from apps.tenants.identity_providers import MAX_SECRET, ROLES, Change, Kind, Provider
from apps.tenants.models import Membership
from apps.tenants.policy import Action, opens


class IdentityProviderSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(Kind.choices)
    issuer = serializers.CharField()
    directory_id = serializers.CharField()
    client_id = serializers.CharField()
    has_secret = serializers.BooleanField(help_text="Whether there is one. It is never shown.")
    default_role = serializers.ChoiceField(ROLES)
    enabled = serializers.BooleanField()
    sign_in_url = serializers.SerializerMethodField()
    redirect_uri = serializers.SerializerMethodField()

    def get_sign_in_url(self, provider: Provider) -> str:
        return settings.BASE_URL + reverse("company_sign_in", args=[provider.slug])

    def get_redirect_uri(self, provider: Provider) -> str:
        return settings.BASE_URL + reverse("company_callback", args=[provider.slug])


class ProviderInput(serializers.Serializer[Any]):
    """What may be changed later, too."""

    name = Text(max_length=120)
    issuer = Text(max_length=400, required=False, allow_blank=True, default="", help_text="Not needed for Entra.")
    directory_id = Text(
        max_length=64, required=False, allow_blank=True, default="", help_text="Entra's directory (tenant) id."
    )
    client_id = Text(max_length=200)
    secret = Text(
        max_length=MAX_SECRET,
        required=False,
        allow_blank=True,
        default="",
        trim_whitespace=False,
        write_only=True,
        help_text="Empty keeps the one there is. Needed again with another issuer, directory or client.",
    )
    default_role = serializers.ChoiceField(ROLES, required=False, default=Membership.Role.MEMBER.value)
    enabled = Truth(required=False, default=True)


class IdentityProvidersView(APIView):
    """The workspace's own sign-in."""

    actions = {"GET": Action.IDENTITY_MANAGE, "POST": Action.IDENTITY_MANAGE}

    @extend_schema_serializer(component_name="NewIdentityProvider")
    class Input(ProviderInput):
        slug = Text(max_length=60, help_text="The sign-in name; it stays.")
        kind = serializers.ChoiceField(Kind.choices, required=False, default=Kind.OIDC.value)

    @extend_schema(responses=IdentityProviderSerializer(many=True), operation_id="identity_providers_list")
    def get(self, request: Request) -> Response:
        found = identity_providers.providers(principal_of(request))
        return Response(IdentityProviderSerializer(found, many=True).data)

    @extend_schema(request=Input, responses={201: IdentityProviderSerializer}, operation_id="identity_providers_create")
    def post(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        made = identity_providers.add(principal_of(request), Change(**given.validated_data))
        return Response(IdentityProviderSerializer(made).data, status=201)


class IdentityProviderView(APIView):
    """One provider."""

    actions = {
        "GET": Action.IDENTITY_MANAGE,
        "PUT": Action.IDENTITY_MANAGE,
        "DELETE": Action.IDENTITY_MANAGE,
    }

    @extend_schema(responses=IdentityProviderSerializer, operation_id="identity_providers_read")
    def get(self, request: Request, provider_id: UUID) -> Response:
        return Response(IdentityProviderSerializer(_one(principal_of(request), provider_id)).data)

    @extend_schema(
        request=ProviderInput, responses=IdentityProviderSerializer, operation_id="identity_providers_change"
    )
    def put(self, request: Request, provider_id: UUID) -> Response:
        given = ProviderInput(data=request.data)
        given.is_valid(raise_exception=True)
        # Sign-in name and kind stay as they are; the service puts in its own.
        change = Change(slug="", kind="", **given.validated_data)
        return Response(
            IdentityProviderSerializer(identity_providers.change(principal_of(request), provider_id, change)).data
        )

    @extend_schema(responses={204: None}, operation_id="identity_providers_remove")
    def delete(self, request: Request, provider_id: UUID) -> Response:
        identity_providers.remove(principal_of(request), provider_id)
        return Response(status=204)


class ProviderForm(forms.Form):
    name = forms.CharField(label="Name", max_length=120, help_text="As people know it: Acme Microsoft 365.")
    issuer = forms.CharField(label="Issuer", max_length=400, required=False, help_text="Not needed for Entra.")
    directory_id = forms.CharField(
        label="Directory (tenant) id", max_length=64, required=False, help_text="For Entra alone."
    )
    client_id = forms.CharField(label="Client id", max_length=200)
    secret = forms.CharField(
        label="Client secret",
        max_length=MAX_SECRET,
        required=False,
        strip=False,
        widget=forms.PasswordInput,
        help_text="Kept encrypted and never shown. Empty keeps the one there is.",
    )
    default_role = forms.ChoiceField(
        label="New people become",
        choices=[(role, Membership.Role(role).label) for role in ROLES],
        initial="member",
        widget=forms.Select(attrs={"class": "input"}),
    )
    enabled = forms.BooleanField(label="People may sign in with it", required=False, initial=True)


class NewProviderForm(ProviderForm):
    slug = forms.CharField(label="Sign-in name", max_length=60, help_text="a-z, 0-9 and hyphens; it stays.")
    kind = forms.ChoiceField(
        label="Kind", choices=Kind.choices, initial=Kind.OIDC, widget=forms.Select(attrs={"class": "input"})
    )


@opens(GET=Action.IDENTITY_MANAGE, POST=Action.IDENTITY_MANAGE)
@never_cache
@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def providers_page(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The providers there are, and a form for another."""
    form = NewProviderForm(request.POST if request.method == "POST" else None)
    status = 200
    if form.is_bound:
        status = 400
        try:
            if form.is_valid():
                made = identity_providers.add(principal, Change(**_given(form)))
                messages.success(request, f"{made.name} is set up.")
                return redirect("identity_providers")
        except Problem as problem:
            show_problem(form, problem)
            status = problem.status
    found = IdentityProviderSerializer(identity_providers.providers(principal), many=True).data
    return render(
        request,
        "tenants/identity_providers.html",
        {
            "principal": principal,
            "providers": found,
            "form": form,
            "is_on": features.is_on(Feature.COMPANY_SIGN_IN, principal.tenant_id),
            "address": f"{settings.BASE_URL}/sso/",
        },
        status=status,
    )


@opens(GET=Action.IDENTITY_MANAGE, POST=Action.IDENTITY_MANAGE)
@never_cache
@sensitive_post_parameters("secret")
@require_http_methods(["GET", "HEAD", "POST"])
@person_required
def provider_page(request: HttpRequest, principal: Principal, provider_id: UUID) -> HttpResponse:
    """Change one of them."""
    provider = _one(principal, provider_id)
    form = ProviderForm(request.POST if request.method == "POST" else None, initial=asdict(provider))
    status = 200
    if form.is_bound:
        status = 400
        try:
            if form.is_valid():
                identity_providers.change(principal, provider_id, Change(slug="", kind="", **_given(form)))
                messages.success(request, f"{provider.name} is changed.")
                return redirect("identity_providers")
        except Problem as problem:
            show_problem(form, problem)
            status = problem.status
    told = IdentityProviderSerializer(provider).data
    context = {"principal": principal, "provider": provider, "addresses": told, "form": form}
    return render(request, "tenants/identity_provider.html", context, status=status)


@opens(POST=Action.IDENTITY_MANAGE)
@require_POST
@person_required
def remove_provider(request: HttpRequest, principal: Principal, provider_id: UUID) -> HttpResponse:
    identity_providers.remove(principal, provider_id)
    messages.success(request, "The company sign-in is removed. Accounts and memberships stay.")
    return redirect("identity_providers")


def _given(form: forms.Form) -> Mapping[str, Any]:
    return form.cleaned_data


def _one(principal: Principal, provider_id: UUID) -> Provider:
    found = next((one for one in identity_providers.providers(principal) if one.id == provider_id), None)
    if found is None:
        raise NotFound("There is no such provider.")
    return found
