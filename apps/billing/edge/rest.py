"""REST: what the workspace has used lately."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.billing import services
from apps.billing.usage import WINDOWS, By, Used
from apps.limits.errors import LimitsError
from apps.problems import Unavailable
from apps.tenants.edge.rest import principal_of
from apps.tenants.policy import Action

_WINDOWS = list(WINDOWS)
_BY = [by.value for by in By]


class AskedSerializer(serializers.Serializer[Any]):
    window = serializers.ChoiceField(_WINDOWS, required=False, default="24h")
    by = serializers.ChoiceField(_BY, required=False, default=None)


class UsedSerializer(serializers.Serializer[Any]):
    calls = serializers.IntegerField(help_text="Those that were paid for.")
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Among the input.")
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField(help_text="Among the output.")
    amount_nanousd = serializers.IntegerField()
    amount_usd = serializers.CharField(help_text="The same, as exact decimal text.")


class ShareSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="Of the team, person or key; the name of a model.")
    name = serializers.CharField()
    used = UsedSerializer()


class UsageSerializer(serializers.Serializer[Any]):
    window = serializers.ChoiceField(_WINDOWS)
    used = UsedSerializer()
    by = serializers.ChoiceField(_BY, allow_null=True)
    shares = ShareSerializer(many=True, help_text="By `by`, the most expensive first; a thousand at most.")
    refused = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="Calls that a limit refused: its kind, then whose it was (tenant, team, user, key).",
    )


class UsageView(APIView):
    """What the workspace has used until now, in a window that slides: calls, tokens, money, and what was refused.

    Calls of the gateway count within half a second of their end.
    """

    actions = {"GET": Action.USAGE_READ}

    @extend_schema(
        operation_id="usage_show",
        parameters=[
            OpenApiParameter("window", str, enum=_WINDOWS, description="24h without it."),
            OpenApiParameter("by", str, enum=_BY, description="Tells the use apart."),
        ],
        responses=UsageSerializer,
    )
    def get(self, request: Request) -> Response:
        given = AskedSerializer(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        tenant_id = principal_of(request).tenant_id
        name, by = given.validated_data["window"], given.validated_data["by"]
        window = WINDOWS[name]
        shares = [] if by is None else services.used_by(tenant_id, window, By(by))
        try:
            refused = services.refused(tenant_id, window)
        except LimitsError as error:
            raise Unavailable("Refusals cannot be read right now.", retry_after_seconds=1) from error
        body = {
            "window": name,
            "used": _told(services.used(tenant_id, window)),
            "by": by,
            "shares": [{"id": one.id, "name": one.name, "used": _told(one.used)} for one in shares],
            "refused": refused,
        }
        return Response(body, headers={"Cache-Control": "no-store"})


def _told(used: Used) -> dict[str, int | str]:
    return {**asdict(used), "amount_usd": services.usd(used.amount_nanousd)}
