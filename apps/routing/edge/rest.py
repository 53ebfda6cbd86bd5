"""REST: the models the caller may use."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.routing import selectors
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action


class ModelSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField(help_text="What `model` and `models` take.")
    name = serializers.CharField()
    description = serializers.CharField()
    policy = serializers.BooleanField(help_text="It is no model: it chooses one for each question.")
    hue = serializers.IntegerField(help_text="The colour that stands for the model everywhere, 1 to 8.")
    simulated = serializers.BooleanField(help_text="Answers come from the built-in simulator.")
    reasoning = serializers.BooleanField()
    context_tokens = serializers.IntegerField()
    max_output_tokens = serializers.IntegerField()
    input_usd_per_mtok = serializers.DecimalField(
        max_digits=20, decimal_places=9, normalize_output=True, allow_null=True, help_text="US dollars per million."
    )
    output_usd_per_mtok = serializers.DecimalField(
        max_digits=20, decimal_places=9, normalize_output=True, allow_null=True, help_text="US dollars per million."
    )


class ModelsView(APIView):
    """The models the caller's tenant may use, in the order lists show them, and the policies that choose among them."""

    actions = {"GET": Action.MODELS_READ}

    @extend_schema(responses=ModelSerializer(many=True), operation_id="models_list")
    def get(self, request: Request) -> Response:
        principal = request.user
        assert isinstance(principal, Principal)  # noqa: S101 - the permission class has made sure
        return Response(ModelSerializer(selectors.models_for(principal), many=True).data)
