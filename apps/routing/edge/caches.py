"""REST: a workspace's rules for the answer caches."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.problems import Invalid
from apps.routing import cache_settings
from apps.routing.contracts import CacheScope
from apps.tenants.contracts import Principal
from apps.tenants.edge.fields import Text, Truth
from apps.tenants.policy import Action

_SCOPES = [scope.value for scope in CacheScope]
_SCOPE = "`own`: people meet their own earlier answers; `workspace`: those of everybody in it."


class CacheRulesSerializer(serializers.Serializer[Any]):
    exact = serializers.BooleanField(help_text="Answers are served again where the very same is asked.")
    exact_ttl_seconds = serializers.IntegerField()
    scope = serializers.ChoiceField(choices=_SCOPES, help_text=_SCOPE)
    semantic = serializers.BooleanField(help_text="Answers are served again where the same is asked in other words.")
    embedding_model = serializers.CharField(
        help_text="What compares questions: `all-minilm-l6-v2` in the workers, or an embedding model on offer."
    )
    threshold = serializers.FloatField(help_text="How alike two questions must be, as a cosine.")
    semantic_ttl_seconds = serializers.IntegerField()
    max_entries = serializers.IntegerField()


class CachesView(APIView):
    """Which answer caches the workspace uses, and how. All are off until somebody switches them on."""

    actions = {"GET": Action.TENANT_READ, "PATCH": Action.TENANT_CHANGE}

    @extend_schema_serializer(component_name="CacheRulesChange")
    class Input(serializers.Serializer[Any]):
        exact = Truth(required=False)
        exact_ttl_seconds = serializers.IntegerField(required=False, min_value=60, max_value=604_800)
        scope = serializers.ChoiceField(choices=_SCOPES, required=False, help_text=_SCOPE)
        semantic = Truth(required=False)
        embedding_model = Text(required=False, max_length=120)
        threshold = serializers.FloatField(required=False, min_value=0.5, max_value=1)
        semantic_ttl_seconds = serializers.IntegerField(required=False, min_value=60, max_value=7_776_000)
        max_entries = serializers.IntegerField(required=False, min_value=10, max_value=10_000)

    @extend_schema(responses=CacheRulesSerializer, operation_id="caches_show")
    def get(self, request: Request) -> Response:
        return Response(CacheRulesSerializer(cache_settings.rules_of(_principal(request))).data)

    @extend_schema(request=Input, responses=CacheRulesSerializer, operation_id="caches_change")
    def patch(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        if not given.validated_data:
            raise Invalid("Nothing is to be changed: name at least one rule.")
        rules = cache_settings.change_rules(_principal(request), **given.validated_data)
        return Response(CacheRulesSerializer(rules).data)


def _principal(request: Request) -> Principal:
    principal = request.user
    assert isinstance(principal, Principal)  # noqa: S101 - the permission class has made sure
    return principal
