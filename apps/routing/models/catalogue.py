"""The catalogue: providers, models, deployments (a model at a provider), versioned prices, and routing policies.

A row without a tenant is offered to every tenant; a row with one belongs to it alone.
"""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid6 import uuid7


class Provider(models.Model):
    class Adapter(models.TextChoices):
        OPENAI_COMPATIBLE = "openai_compatible", "OpenAI-compatible"
        ANTHROPIC = "anthropic", "Anthropic"
        LITELLM = "litellm", "all others, through litellm"

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
            models.UniqueConstraint(fields=["tenant", "slug"], nulls_distinct=False, name="routing_provider_slug"),
            # Its calls cannot pass the guard against forbidden addresses, so only an operator may choose where they go.
            models.CheckConstraint(
                condition=~Q(adapter="litellm") | Q(tenant__isnull=True), name="routing_provider_litellm_is_ours"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class LanguageModel(models.Model):
    """A model by the name people choose, with its profile: what it can do, wherever it runs."""

    class Kind(models.TextChoices):
        CHAT = "chat", "answers"
        EMBEDDING = "embedding", "embeddings"
        MODERATION = "moderation"

    class SafetyClass(models.IntegerChoices):
        OPEN = 0, "open weights, little done"
        STANDARD = 1, "standard"
        STRICT = 2, "strict"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    slug = models.CharField(max_length=120)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=300, blank=True)
    kind = models.CharField(
        max_length=20,
        choices=Kind.choices,
        default=Kind.CHAT,
        help_text="Models of other kinds are asked on the side, where a workspace's settings say so.",
    )
    hue = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(8)],
        help_text="The colour that stands for this model everywhere, 1 to 8.",
    )
    context_tokens = models.PositiveIntegerField(default=128_000)
    max_output_tokens = models.PositiveIntegerField(default=4_096)
    reasoning = models.BooleanField(default=False)
    tier = models.CharField(max_length=40, default="standard", help_text="What a tenant's rules speak of.")
    tools = models.BooleanField(default=False, help_text="It can call tools.")
    vision = models.BooleanField(default=False, help_text="It can look at pictures.")
    json_schema = models.BooleanField(default=False, help_text="It can be held to a JSON schema.")
    prefill = models.BooleanField(default=False, help_text="It goes on from the beginning of an answer it is given.")
    languages = ArrayField(
        models.CharField(max_length=8),
        default=list,
        blank=True,
        help_text="Languages it answers well in, as ISO 639-1 codes; empty means any.",
    )
    safety_class = models.PositiveSmallIntegerField(
        choices=SafetyClass.choices,
        default=SafetyClass.STANDARD,
        help_text="How much its maker did against harmful answers.",
    )
    strength = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(100)],
        help_text="How well it does on hard questions, 0 to 100; policies that choose by difficulty need it.",
    )
    fallbacks = models.JSONField(
        default=dict,
        blank=True,
        help_text="Models to turn to, in order, by what went wrong: any, context, overloaded, content_filter.",
    )
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
    region = models.CharField(max_length=60, blank=True, help_text="The provider's name of the region, if it has one.")
    residency = models.CharField(
        max_length=8, blank=True, help_text="Where prompts are processed: eu, us, ch, own ... Empty: nobody promises."
    )
    weight = models.PositiveSmallIntegerField(default=100, help_text="Its share of the traffic of equal deployments.")
    max_parallel = models.PositiveIntegerField(
        null=True, blank=True, help_text="Calls it takes at once, for pools of one's own; empty means no limit."
    )
    max_waiting = models.PositiveIntegerField(
        default=0, help_text="Calls that may wait for room in such a pool before others are sent elsewhere."
    )
    context_tokens = models.PositiveIntegerField(null=True, blank=True, help_text="Where it differs from the model's.")
    max_output_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="Where it differs from the model's."
    )
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
    cache_write_nanousd_per_mtok = models.BigIntegerField(
        null=True, blank=True, help_text="Input that the provider writes into its prompt cache; empty: as other input."
    )
    output_nanousd_per_mtok = models.BigIntegerField()
    reasoning_nanousd_per_mtok = models.BigIntegerField(
        null=True, blank=True, help_text="Output spent on thinking; empty: as other output."
    )
    free = models.BooleanField(default=False, help_text="Must be set where both prices are zero.")
    valid_from = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["deployment", "-valid_from"], name="routing_price_current")]
        constraints = [
            models.CheckConstraint(
                condition=Q(input_nanousd_per_mtok__gte=0)
                & Q(output_nanousd_per_mtok__gte=0)
                & (Q(cached_input_nanousd_per_mtok__isnull=True) | Q(cached_input_nanousd_per_mtok__gte=0))
                & (Q(cache_write_nanousd_per_mtok__isnull=True) | Q(cache_write_nanousd_per_mtok__gte=0))
                & (Q(reasoning_nanousd_per_mtok__isnull=True) | Q(reasoning_nanousd_per_mtok__gte=0)),
                name="routing_price_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(free=True) | Q(input_nanousd_per_mtok__gt=0) | Q(output_nanousd_per_mtok__gt=0),
                name="routing_price_free_is_said",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.input_nanousd_per_mtok}/{self.output_nanousd_per_mtok} nano-dollars per million tokens"


class RoutingPolicy(models.Model):
    """A name that people choose like a model's, and that chooses among models for each question."""

    class Kind(models.TextChoices):
        FIXED = "fixed", "in the order given"
        CHEAPEST = "cheapest"
        FASTEST = "fastest"
        WEIGHTED = "weighted", "by weights"
        AUTO = "auto", "by how hard the question looks"
        LEADERBOARD = "leaderboard", "by the workspace's own votes"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    slug = models.CharField(max_length=120)
    name = models.CharField(max_length=120)
    description = models.CharField(max_length=300, blank=True)
    hue = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(8)])
    kind = models.CharField(max_length=20, choices=Kind.choices)
    models_chosen_from = ArrayField(
        models.CharField(max_length=120),
        default=list,
        blank=True,
        help_text="Slugs, in order; empty means every model the caller may use.",
    )
    weights = models.JSONField(default=dict, blank=True, help_text="Shares by slug, for the kind “weighted”.")
    hard_from = models.PositiveSmallIntegerField(
        default=50,
        validators=[MaxValueValidator(100)],
        help_text="The kind “auto” sends questions at least this difficult (0 to 100) to the strongest model.",
    )
    safety_class = models.PositiveSmallIntegerField(
        choices=LanguageModel.SafetyClass.choices,
        default=LanguageModel.SafetyClass.OPEN,
        help_text="Models of a lower class are left out.",
    )
    max_first_token_ms = models.PositiveIntegerField(
        null=True, blank=True, help_text="Models measured slower than this come last."
    )
    max_cost_nanousd = models.BigIntegerField(
        null=True, blank=True, help_text="Models whose answer is likely to cost more are left out."
    )
    position = models.PositiveSmallIntegerField(default=50, help_text="Order in lists; smaller comes first.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "routing policies"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], nulls_distinct=False, name="routing_policy_slug"),
            models.CheckConstraint(
                condition=Q(max_cost_nanousd__isnull=True) | Q(max_cost_nanousd__gt=0), name="routing_policy_cost"
            ),
        ]

    def __str__(self) -> str:
        return self.name
