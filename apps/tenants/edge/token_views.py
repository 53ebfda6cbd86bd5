"""REST: signing programs in, renewing and ending what they were given."""

from typing import Any
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib import auth
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts import captcha, second_factor
from apps.accounts.contracts import MAX_PASSWORD
from apps.accounts.errors import SecondFactorRefused
from apps.tenants import selectors, token_families
from apps.tenants.contracts import Principal, Via
from apps.tenants.edge import openapi, sign_in_events, sign_in_guard, tokens
from apps.tenants.edge.fields import Text
from apps.tenants.edge.rest import principal_of
from apps.tenants.edge.throttle import SIGN_IN
from apps.tenants.errors import CredentialRefused
from apps.tenants.policy import Action, public

_NO_STORE = {"Cache-Control": "no-store"}


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField()
    refresh = serializers.CharField(help_text="Good for one renewal. Using it twice ends the sign-in.")
    expires_in = serializers.IntegerField(help_text="Seconds until the access token ends.")


class TokenFamilySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    client = serializers.CharField(help_text="What the program called itself when it signed in.")
    opened_at = serializers.DateTimeField()
    renewed_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(help_text="When it ends unless it is renewed before.")
    current = serializers.BooleanField(help_text="Whether the request's own access token belongs to it.")


def _pair(pair: tokens.TokenPair) -> Response:
    body = {"access": pair.access, "refresh": pair.refresh, "expires_in": pair.expires_in_seconds}
    return Response(body, headers=_NO_STORE)


@public("who signs in has no credential yet")
class TokenView(APIView):
    """Sign a program in with a person's e-mail address and password."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema_serializer(component_name="SignIn")
    class Input(serializers.Serializer[Any]):
        email = serializers.EmailField(max_length=254)
        password = Text(max_length=MAX_PASSWORD, trim_whitespace=False)
        otp = Text(
            required=False,
            max_length=second_factor.MAX_CODE,
            help_text="A code of the second factor, or a recovery code, where the account has one. It also opens the "
            "way past waits that strangers' guesses caused.",
        )
        proof = Text(
            required=False,
            max_length=captcha.MAX_ANSWER,
            help_text="What solves the puzzle of an answer `step_up_required`: the puzzle, `|` and a number, so that "
            "the SHA-256 of it all begins with as many zero bits as the puzzle says first.",
        )
        tenant = Text(required=False, max_length=60, help_text="Slug or id; without it, the tenant joined first.")

    @extend_schema(
        request=Input,
        responses=TokenPairSerializer,
        auth=[],
        operation_id="accounts_token_create",
        extensions={openapi.REFUSALS: [403, 429]},
    )
    def post(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        SIGN_IN.count(request._request, given.validated_data["email"])
        proof, code = (given.validated_data.get(name, "") for name in ("proof", "otp"))
        tried = sign_in_guard.begin(request._request, given.validated_data["email"], proof, code=code)
        user = auth.authenticate(
            request._request, username=given.validated_data["email"], password=given.validated_data["password"]
        )
        if user is None:
            raise CredentialRefused("E-mail address and password do not belong together.")
        factor = tried.factor or _second_factor(request._request, user, code)
        if factor is not None and factor.type == Authenticator.Type.RECOVERY_CODES:
            sign_in_events.recovery_code_used(user)
        tried.succeeded()
        principal = _principal_in(user.pk, given.validated_data.get("tenant"))
        return _pair(tokens.issue(principal, request.headers.get("User-Agent", "")))


def _second_factor(request: HttpRequest, user: Any, code: str) -> Authenticator | None:
    """Raises `SecondFactorRequired`, `SecondFactorRefused`, `TooManyTries`."""
    try:
        return second_factor.check_code(request, user.pk, code)
    except SecondFactorRefused:
        sign_in_events.second_factor_failed(user.pk, request)
        raise


def _principal_in(user_id: UUID, tenant: str | None) -> Principal:
    """The person in the tenant they name. A tenant they do not belong to looks like none."""
    for membership in selectors.memberships_of(user_id):
        if tenant is None or tenant in (membership.tenant_slug, str(membership.tenant_id)):
            principal = selectors.principal_for(user_id, membership.tenant_id, via=Via.JWT)
            if principal is not None:
                return principal
    raise CredentialRefused("You are not a member of that workspace, or it is not active.")


class RefreshInput(serializers.Serializer[Any]):
    refresh = Text(max_length=tokens.MAX_TOKEN)


@public("the refresh token in the body is the credential")
class TokenRefreshView(APIView):
    """The next pair for a refresh token, which is used up. Whoever uses it a second time ends the whole sign-in."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=RefreshInput, responses=TokenPairSerializer, auth=[], operation_id="accounts_token_refresh")
    def post(self, request: Request) -> Response:
        given = RefreshInput(data=request.data)
        given.is_valid(raise_exception=True)
        return _pair(tokens.renew(given.validated_data["refresh"]))


@public("the refresh token in the body is the credential")
class TokenRevokeView(APIView):
    """Sign a program out: end the refresh token's whole family, its access tokens included.

    A token that is not valid changes nothing and is answered alike.
    """

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(request=RefreshInput, responses={204: None}, auth=[], operation_id="accounts_token_revoke")
    def post(self, request: Request) -> Response:
        given = RefreshInput(data=request.data)
        given.is_valid(raise_exception=True)
        tokens.revoke(given.validated_data["refresh"])
        return Response(status=204, headers=_NO_STORE)


class TokensView(APIView):
    """One's programs that are signed in, in this tenant."""

    actions = {"GET": Action.SELF}

    @extend_schema(responses=TokenFamilySerializer(many=True), operation_id="accounts_tokens_list")
    def get(self, request: Request) -> Response:
        found = token_families.families(principal_of(request))
        return Response(TokenFamilySerializer(found, many=True).data)


class TokenFamilyView(APIView):
    """One program's sign-in."""

    actions = {"DELETE": Action.SELF}

    @extend_schema(responses={204: None}, operation_id="accounts_tokens_revoke")
    def delete(self, request: Request, family: UUID) -> Response:
        token_families.revoke_listed(principal_of(request), family)
        return Response(status=204)
