"""REST: the whole catalogue of the caller's tenant, for those who answer for it. Addresses and keys are not in it."""

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.routing import selectors
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action

_NANOUSD_PER_USD = 1_000_000_000
_SAFETY = "0: open weights, little done; 1: standard; 2: strict."


class DollarsField(serializers.DecimalField):
    """Nano-dollars inside, dollars as decimal text outside."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=20, decimal_places=9, normalize_output=True, **options)

    def to_representation(self, value: Any) -> Any:
        return super().to_representation(Decimal(value) / _NANOUSD_PER_USD)


class SortedField(serializers.ListField):
    """A set, in the order of the alphabet."""

    child = serializers.CharField()

    def to_representation(self, data: Any) -> list[Any]:
        return super().to_representation(sorted(data))


class PriceSerializer(serializers.Serializer[Any]):
    """US dollars per million tokens."""

    input_usd_per_mtok = DollarsField(source="input_nanousd_per_mtok")
    cached_input_usd_per_mtok = DollarsField(source="cached_input_nanousd_per_mtok")
    cache_write_usd_per_mtok = DollarsField(source="cache_write_nanousd_per_mtok")
    output_usd_per_mtok = DollarsField(source="output_nanousd_per_mtok")
    reasoning_usd_per_mtok = DollarsField(source="reasoning_nanousd_per_mtok")
    free = serializers.BooleanField()


class DeploymentSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    provider = serializers.CharField(help_text="The provider's slug.")
    provider_name = serializers.CharField()
    upstream_model = serializers.CharField(help_text="The model's name there.")
    simulated = serializers.BooleanField()
    enabled = serializers.BooleanField(help_text="Both it and its provider are switched on.")
    region = serializers.CharField()
    residency = serializers.CharField(help_text="Where prompts are processed; empty: nobody promises.")
    priority = serializers.IntegerField(help_text="Smaller is tried first.")
    weight = serializers.IntegerField(help_text="Its share of the traffic of equal deployments.")
    context_tokens = serializers.IntegerField(allow_null=True, help_text="Where it differs from the model's.")
    max_output_tokens = serializers.IntegerField(allow_null=True, help_text="Where it differs from the model's.")
    price = PriceSerializer(allow_null=True, help_text="Null: not priced, so not called.")


class CatalogueModelSerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    tier = serializers.CharField(help_text="What rules of the workspace speak of.")
    context_tokens = serializers.IntegerField()
    max_output_tokens = serializers.IntegerField()
    reasoning = serializers.BooleanField()
    tools = serializers.BooleanField(source="profile.tools")
    vision = serializers.BooleanField(source="profile.vision")
    json_schema = serializers.BooleanField(source="profile.json_schema")
    prefill = serializers.BooleanField(source="profile.prefill")
    languages = SortedField(source="profile.languages", help_text="ISO 639-1 codes; empty means any.")
    safety_class = serializers.IntegerField(source="profile.safety_class", help_text=_SAFETY)
    strength = serializers.IntegerField(source="profile.strength", allow_null=True, help_text="0 to 100.")
    fallbacks = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Models to turn to, in order, by what went wrong: any, context, overloaded, content_filter.",
    )
    deployments = DeploymentSerializer(many=True)


class CataloguePolicySerializer(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.CharField()
    models = serializers.ListField(
        child=serializers.CharField(), help_text="In order; empty means every model the caller may use."
    )
    weights = serializers.DictField(child=serializers.FloatField())
    hard_from = serializers.IntegerField()
    safety_class = serializers.IntegerField(help_text=_SAFETY)
    max_first_token_ms = serializers.IntegerField(allow_null=True)
    max_cost_usd = DollarsField(source="max_cost_nanousd", allow_null=True)


class CatalogueSerializer(serializers.Serializer[Any]):
    residency = serializers.ListField(
        child=serializers.CharField(), help_text="Where prompts may be processed; empty means anywhere."
    )
    models = CatalogueModelSerializer(many=True)
    policies = CataloguePolicySerializer(many=True)


class CatalogueView(APIView):
    """What the workspace is offered, its own entries and the general ones, with the profiles, places and prices by
    which calls are planned. Rules for tiers are not applied: they are another page."""

    actions = {"GET": Action.TENANT_CHANGE}

    @extend_schema(responses=CatalogueSerializer, operation_id="catalogue_show")
    def get(self, request: Request) -> Response:
        principal = request.user
        assert isinstance(principal, Principal)  # noqa: S101 - the permission class has made sure
        offered = selectors.catalogue(principal.tenant_id)
        whole = {
            "residency": sorted(offered.residency),
            "models": list(offered.models.values()),
            "policies": list(offered.policies.values()),
        }
        return Response(CatalogueSerializer(whole).data)
