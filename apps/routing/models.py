"""The catalogue: providers, models, deployments (a model at a provider) and versioned prices.

A row without a tenant is offered to every tenant; a row with one belongs to it alone.
"""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid6 import uuid7


class Provider(models.Model):
    class Adapter(models.TextChoices):
        OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    adapter = models.CharField(max_length=40, choices=Adapter.choices, default=Adapter.OPENAI_COMPATIBLE)
    base_url = models.URLField(max_length=400)
    sealed_key = models.TextField(blank=True, editable=False, help_text="The provider's key, encrypted.")
    simulated = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], nulls_distinct=False, name="routing_provider_slug")
        ]

    def __str__(self) -> str:
        return self.name


class LanguageModel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    slug = models.CharField(max_length=120)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=300, blank=True)
    hue = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(8)],
        help_text="The colour that stands for this model everywhere, 1 to 8.",
    )
    context_tokens = models.PositiveIntegerField(default=128_000)
    max_output_tokens = models.PositiveIntegerField(default=4_096)
    reasoning = models.BooleanField(default=False)
    tier = models.CharField(max_length=40, default="standard", help_text="What a tenant's rules speak of.")
    position = models.PositiveSmallIntegerField(default=100, help_text="Order in lists; smaller comes first.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "model"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], nulls_distinct=False, name="routing_model_slug")
        ]

    def __str__(self) -> str:
        return self.name


class Deployment(models.Model):
    """A model at a provider, under the name the provider knows it by."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    model = models.ForeignKey(LanguageModel, on_delete=models.CASCADE, related_name="deployments")
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="deployments")
    upstream_model = models.CharField(max_length=200)
    priority = models.PositiveSmallIntegerField(default=1, help_text="Smaller is tried first.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model", "provider", "upstream_model"], name="routing_deployment_once")
        ]

    def __str__(self) -> str:
        return self.upstream_model


class Price(models.Model):
    """What a deployment costs from `valid_from` on, in nano-dollars per million tokens. Versions are appended."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="prices")
    input_nanousd_per_mtok = models.BigIntegerField()
    cached_input_nanousd_per_mtok = models.BigIntegerField(null=True, blank=True)
    output_nanousd_per_mtok = models.BigIntegerField()
    free = models.BooleanField(default=False, help_text="Must be set where both prices are zero.")
    valid_from = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["deployment", "-valid_from"], name="routing_price_current")]
        constraints = [
            models.CheckConstraint(
                condition=Q(input_nanousd_per_mtok__gte=0)
                & Q(output_nanousd_per_mtok__gte=0)
                & (Q(cached_input_nanousd_per_mtok__isnull=True) | Q(cached_input_nanousd_per_mtok__gte=0)),
                name="routing_price_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(free=True) | Q(input_nanousd_per_mtok__gt=0) | Q(output_nanousd_per_mtok__gt=0),
                name="routing_price_free_is_said",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.input_nanousd_per_mtok}/{self.output_nanousd_per_mtok} nano-dollars per million tokens"
