"""REST: who am I, API keys."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.tenants import api_keys, instructions, selectors, services
from apps.tenants.contracts import NewApiKey, Principal, Scope, Via
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
        "models": serializers.ListField(
            child=serializers.CharField(), allow_null=True, help_text="What the caller's key may reach; null: no bound."
        ),
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
                "models": None if principal.models is None else sorted(principal.models),
                "instructions": instructions.of(principal).own,
                "tenants": MembershipSerializer(memberships, many=True).data,
            }
        )


class EarlierSecretSerializer(serializers.Serializer[Any]):
    prefix = serializers.CharField()
    ends_at = serializers.DateTimeField()


class ApiKeySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="What it may reach; null: all that its person may."
    )
    team = serializers.UUIDField(source="team_id", allow_null=True, help_text="The team that its calls count in.")
    user_name = serializers.CharField()
    created_at = serializers.DateTimeField()
    rotated_at = serializers.DateTimeField(allow_null=True)
    earlier_secrets = EarlierSecretSerializer(many=True, help_text="Secrets that work beside the newest.")
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
        models = serializers.ListField(
            child=Text(max_length=120),
            required=False,
            allow_null=True,
            default=None,
            help_text="Slugs of models and policies. Whatever answers is one of them, fallbacks too; null: no bound.",
        )
        team = serializers.UUIDField(
            required=False, allow_null=True, default=None, help_text="A team of one's own: its limits apply to the key."
        )
        expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    @extend_schema(responses=ApiKeySerializer(many=True), operation_id="api_keys_list")
    def get(self, request: Request) -> Response:
        return Response(ApiKeySerializer(selectors.api_keys(principal_of(request)), many=True).data)

    @extend_schema(request=Input, responses={201: NewApiKeySerializer}, operation_id="api_keys_create")
    def post(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        told = given.validated_data
        key = services.create_api_key(
            principal_of(request),
            told["name"],
            told["scopes"],
            told["expires_at"],
            models=told["models"],
            team_id=told["team"],
        )
        return _new_secret(key)


def _new_secret(key: NewApiKey) -> Response:
    return Response(NewApiKeySerializer(key).data, status=201, headers={"Cache-Control": "no-store"})


class ApiKeyView(APIView):
    """Revoke a key."""

    actions = {"DELETE": Action.KEYS_REVOKE}

    @extend_schema(responses={204: None}, operation_id="api_keys_revoke")
    def delete(self, request: Request, key_id: UUID) -> Response:
        services.revoke_api_key(principal_of(request), key_id)
        return Response(status=204)


class ApiKeyRotateView(APIView):
    """Give a key of one's own a new secret. The one it had works on for a while, or ends at once."""

    actions = {"POST": Action.KEYS_MAKE}

    @extend_schema_serializer(component_name="ApiKeyRotation")
    class Input(serializers.Serializer[Any]):
        overlap_seconds = serializers.IntegerField(
            min_value=0,
            max_value=api_keys.MAX_OVERLAP_SECONDS,
            help_text="How long the secret it had goes on working. 0: no earlier secret works any more.",
        )

    @extend_schema(request=Input, responses={201: NewApiKeySerializer}, operation_id="api_keys_rotate")
    def post(self, request: Request, key_id: UUID) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        overlap_seconds = given.validated_data["overlap_seconds"]
        return _new_secret(services.rotate_api_key(principal_of(request), key_id, overlap_seconds))


class EarlierSecretView(APIView):
    """End a secret that a rotation left working, before its time."""

    actions = {"DELETE": Action.KEYS_REVOKE}

    @extend_schema(responses={204: None}, operation_id="api_keys_end_secret")
    def delete(self, request: Request, key_id: UUID, prefix: str) -> Response:
        services.end_earlier_secret(principal_of(request), key_id, prefix)
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
