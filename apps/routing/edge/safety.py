"""REST: what a workspace screens prompts and answers for, and what was found."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.problems import Invalid
from apps.routing import safety_settings, safety_verdicts
from apps.safety import Action, Category, Direction
from apps.tenants.edge.fields import Text, Truth
from apps.tenants.edge.rest import principal_of
from apps.tenants.policy import Action as Permission

_ACTIONS = [action.value for action in Action]
_MODERATED = [action.value for action in safety_settings.MODERATED]
DAYS = 30


class LimitSerializer(serializers.Serializer[Any]):
    """From the score `threshold` on, `action` is done."""

    action = serializers.ChoiceField(choices=_ACTIONS)
    threshold = serializers.IntegerField(min_value=1, max_value=100)


class LimitsSerializer(serializers.Serializer[Any]):
    """A limit for each category."""

    secret = LimitSerializer(required=False)
    pii = LimitSerializer(required=False)
    abuse = LimitSerializer(required=False)
    injection = LimitSerializer(required=False)


class SafetySerializer(serializers.Serializer[Any]):
    prompt_limits = LimitsSerializer(required=False, help_text="For what people send.")
    answer_limits = LimitsSerializer(required=False, help_text="For what models answer.")
    margin_characters = serializers.IntegerField(required=False, min_value=0, max_value=safety_settings.MOST_MARGIN)
    redact_stored = Truth(required=False)
    moderation_model = Text(required=False, allow_blank=True, max_length=120, help_text="A slug; empty: none.")
    moderation_prompt = serializers.ChoiceField(choices=_MODERATED, required=False)
    moderation_answer = serializers.ChoiceField(choices=_MODERATED, required=False)
    moderation_threshold = serializers.IntegerField(required=False, min_value=1, max_value=100)
    moderation_thresholds = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=100),
        required=False,
        help_text="Of single categories of the moderation model, where they differ.",
    )
    moderation_step_characters = serializers.IntegerField(
        required=False, min_value=0, max_value=safety_settings.MOST_STEP
    )
    refuse_unreachable = Truth(required=False)


class VerdictSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    user_id = serializers.UUIDField()
    generation_id = serializers.UUIDField(allow_null=True, help_text="Null where the question was not accepted.")
    direction = serializers.ChoiceField(choices=[one.value for one in Direction])
    category = serializers.CharField(help_text=f"{', '.join(Category)} or moderation.")
    rule = serializers.CharField()
    action = serializers.ChoiceField(choices=_ACTIONS)
    score = serializers.IntegerField()
    threshold = serializers.IntegerField()
    count = serializers.IntegerField(help_text="Passages in that text.")


class CountSerializer(serializers.Serializer[Any]):
    direction = serializers.ChoiceField(choices=[one.value for one in Direction])
    category = serializers.CharField()
    rule = serializers.CharField()
    action = serializers.ChoiceField(choices=_ACTIONS)
    texts = serializers.IntegerField()
    passages = serializers.IntegerField()


class FoundSerializer(serializers.Serializer[Any]):
    counts = CountSerializer(many=True, help_text=f"Of the last {DAYS} days, the most frequent first.")
    latest = VerdictSerializer(many=True, help_text=f"At most {safety_verdicts.MOST_LISTED}, the newest first.")


class SafetyView(APIView):
    """What is screened. Nothing is, until somebody decides it."""

    actions = {"GET": Permission.SAFETY_MANAGE, "PATCH": Permission.SAFETY_MANAGE}

    @extend_schema(responses=SafetySerializer, operation_id="safety_show")
    def get(self, request: Request) -> Response:
        return Response(SafetySerializer(safety_settings.shown(principal_of(request))).data)

    @extend_schema_serializer(component_name="SafetyChange")
    class Input(SafetySerializer):
        pass

    @extend_schema(request=Input, responses=SafetySerializer, operation_id="safety_change")
    def patch(self, request: Request) -> Response:
        given = self.Input(data=request.data)
        given.is_valid(raise_exception=True)
        if not given.validated_data:
            raise Invalid("Say what is to be changed.")
        return Response(SafetySerializer(safety_settings.change(principal_of(request), given.validated_data)).data)


class VerdictsView(APIView):
    """What was found: which rule, in whose text, and what was done. Never the text."""

    actions = {"GET": Permission.SAFETY_MANAGE}

    @extend_schema(responses=FoundSerializer, operation_id="safety_verdicts")
    def get(self, request: Request) -> Response:
        principal = principal_of(request)
        found = {
            "counts": safety_verdicts.counted(principal, DAYS),
            "latest": safety_verdicts.latest(principal, safety_verdicts.MOST_LISTED),
        }
        return Response(FoundSerializer(found).data)
