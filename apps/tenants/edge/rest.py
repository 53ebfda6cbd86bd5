"""REST: who am I, API keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.tenants import instructions, selectors, services
from apps.tenants.contracts import Principal, Scope, Via
from apps.tenants.edge.fields import Text
from apps.tenants.policy import Action


def principal_of(request: Request) -> Principal:
    """The caller of a view that only authenticated callers reach."""
    principal = request.user
    assert isinstance(principal, Principal)  # noqa: S101 - the permission class has made sure
    return principal


class MembershipSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="tenant_id")
    name = serializers.CharField(source="tenant_name")
    slug = serializers.CharField(source="tenant_slug")
    role = serializers.CharField()


_ME = inline_serializer(
    "Me",
    {
        "user_id": serializers.UUIDField(),
        "name": serializers.CharField(),
        "email": serializers.EmailField(),
        "tenant_id": serializers.UUIDField(),
        "role": serializers.CharField(),
        "via": serializers.ChoiceField(choices=[via.value for via in Via]),
        "scopes": serializers.ListField(child=serializers.CharField()),
        "instructions": serializers.CharField(help_text="What models are told before each of one's questions here."),
        "tenants": MembershipSerializer(many=True),
    },
)


class MeView(APIView):
    """Who the credential speaks for, in which tenants that person works, and what they tell models there."""

    actions = {"GET": Action.SELF, "PATCH": Action.SELF}

    @extend_schema_serializer(component_name="MeChange")
    class Input(serializers.Serializer[Any]):
        instructions = Text(allow_blank=True, max_length=instructions.MAX_CHARACTERS)

    @extend_schema(operation_id="accounts_me", responses=_ME)
    def get(self, request: Request) -> Response:
        return self._told(principal_of(request))

    @extend_schema(operation_id="accounts_me_change", request=Input, responses=_ME)
    def patch(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        instructions.set_own(principal_of(request), given.validated_data["instructions"])
        return self._told(principal_of(request))

    def _told(self, principal: Principal) -> Response:
        memberships = selectors.memberships_of(principal.user_id)
        if principal.via is not Via.SESSION:  # a token or key is for one tenant, and tells of no other
            memberships = [found for found in memberships if found.tenant_id == principal.tenant_id]
        return Response(
            {
                "user_id": principal.user_id,
                "name": principal.user_name,
                "email": principal.user_email,
                "tenant_id": principal.tenant_id,
                "role": principal.role,
                "via": principal.via,
                "scopes": sorted(principal.scopes),
                "instructions": instructions.of(principal).own,
                "tenants": MembershipSerializer(memberships, many=True).data,
            }
        )


class ApiKeySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    user_name = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class NewApiKeySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    secret = serializers.CharField(help_text="Shown this once.")


class ApiKeysView(APIView):
    """One's API keys; an administrator sees those of the whole tenant."""

    actions = {"GET": Action.KEYS_READ, "POST": Action.KEYS_MAKE}

    @extend_schema_serializer(component_name="NewApiKeyInput")
    class Input(serializers.Serializer[Any]):
        name = Text(max_length=services.MAX_NAME)
        scopes = serializers.ListField(
            child=serializers.ChoiceField(choices=[scope.value for scope in Scope]), required=False, default=list
        )
        expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    @extend_schema(responses=ApiKeySerializer(many=True), operation_id="api_keys_list")
    def get(self, request: Request) -> Response:
        return Response(ApiKeySerializer(selectors.api_keys(principal_of(request)), many=True).data)

    @extend_schema(request=Input, responses={201: NewApiKeySerializer}, operation_id="api_keys_create")
    def post(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        expires_at: datetime | None = given.validated_data["expires_at"]
        key = services.create_api_key(
            principal_of(request), given.validated_data["name"], given.validated_data["scopes"], expires_at
        )
        return Response(NewApiKeySerializer(key).data, status=201, headers={"Cache-Control": "no-store"})


class ApiKeyView(APIView):
    """Revoke a key."""

    actions = {"DELETE": Action.KEYS_REVOKE}

    @extend_schema(responses={204: None}, operation_id="api_keys_revoke")
    def delete(self, request: Request, key_id: UUID) -> Response:
        services.revoke_api_key(principal_of(request), key_id)
        return Response(status=204)


class ApiKeysRevokeAllView(APIView):
    """Revoke every key of one's own in this tenant, as after a password that somebody else may know."""

    actions = {"POST": Action.KEYS_REVOKE}

    @extend_schema(
        request=None,
        responses=inline_serializer("RevokedKeys", {"revoked": serializers.IntegerField()}),
        operation_id="api_keys_revoke_all",
    )
    def post(self, request: Request) -> Response:
        return Response({"revoked": services.revoke_own_api_keys(principal_of(request))})
