"""A tenant's rules of safety, and what they found."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from uuid6 import uuid7


class SafetyRules(models.Model):
    """What a tenant has decided about screening; nothing is screened for one without a row."""

    class Moderated(models.TextChoices):
        ALLOW = "allow", "do not ask"
        FLAG = "flag", "note it"
        BLOCK = "block", "block it"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.OneToOneField("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    prompt_limits = models.JSONField(
        default=dict, blank=True, help_text="Action and threshold by category, for what people send."
    )
    answer_limits = models.JSONField(
        default=dict, blank=True, help_text="Action and threshold by category, for what models answer."
    )
    margin_characters = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(2000)],
        help_text="So much of an answer is held back besides what the rules need.",
    )
    redact_stored = models.BooleanField(
        default=False, help_text="Questions are kept with what is redacted in them replaced, too."
    )
    moderation_model = models.CharField(max_length=120, blank=True, help_text="A moderation model's slug; empty: none.")
    moderation_prompt = models.CharField(max_length=8, choices=Moderated.choices, default=Moderated.BLOCK)
    moderation_answer = models.CharField(max_length=8, choices=Moderated.choices, default=Moderated.BLOCK)
    moderation_threshold = models.PositiveSmallIntegerField(
        default=50, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )
    moderation_thresholds = models.JSONField(
        default=dict, blank=True, help_text="Thresholds of single categories of the model, where they differ."
    )
    moderation_step_characters = models.PositiveSmallIntegerField(
        default=600,
        validators=[MaxValueValidator(20000)],
        help_text="So much of an answer is asked about at first, then ever more; 0: the whole answer, at its end.",
    )
    refuse_unreachable = models.BooleanField(
        default=False, help_text="While the moderation model cannot be asked, nothing passes."
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "safety rules"

    def __str__(self) -> str:
        return "safety rules"


class SafetyVerdict(models.Model):
    """What a rule found in a question or an answer, and what was done about it. Never the text."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(db_default=Now())
    user_id = models.UUIDField()
    generation_id = models.UUIDField(null=True, help_text="None where the question was not accepted.")
    direction = models.CharField(max_length=8)
    category = models.CharField(max_length=20)
    rule = models.CharField(max_length=80)
    action = models.CharField(max_length=8)
    score = models.PositiveSmallIntegerField()
    threshold = models.PositiveSmallIntegerField()
    count = models.PositiveIntegerField(default=1)

    class Meta:
        indexes = [models.Index(fields=["tenant", "-at"], name="routing_verdict_latest")]

    def __str__(self) -> str:
        return f"{self.rule}: {self.action}"
