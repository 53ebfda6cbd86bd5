"""What a tenant's caches may do, the answers that the semantic one keeps, and what was measured of it."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from pgvector.django import HalfVectorField
from uuid6 import uuid7

from apps.routing.caches import minilm

SCOPE_WORDS = "Where it is everybody's, people may be served answers that were given to others to the very same words."


class CacheSettings(models.Model):
    """Which answer caches a tenant uses, and how. Without a row it uses none."""

    class Scope(models.TextChoices):
        OWN = "own", "a person's own"
        WORKSPACE = "workspace", "everybody's in the workspace"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    exact = models.BooleanField(default=False, help_text="Serve an answer again where the very same is asked.")
    exact_ttl_seconds = models.PositiveIntegerField(
        "kept for, in seconds", default=3_600, validators=[MinValueValidator(60), MaxValueValidator(604_800)]
    )
    scope = models.CharField(
        "whose answers are served", max_length=10, choices=Scope.choices, default=Scope.OWN, help_text=SCOPE_WORDS
    )
    semantic = models.BooleanField(default=False, help_text="Serve an answer again where the same is asked otherwise.")
    embedding_model = models.CharField(max_length=120, default=minilm.NAME, help_text="What compares questions.")
    threshold = models.FloatField(
        default=0.9,
        validators=[MinValueValidator(0.5), MaxValueValidator(1)],
        help_text="How alike two questions must be, as a cosine.",
    )
    semantic_ttl_seconds = models.PositiveIntegerField(
        "kept for, in seconds", default=604_800, validators=[MinValueValidator(60), MaxValueValidator(7_776_000)]
    )
    max_entries = models.PositiveIntegerField(
        "answers kept at most", default=10_000, validators=[MinValueValidator(10), MaxValueValidator(10_000)]
    )
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = verbose_name_plural = "answer caches"
        constraints = [models.UniqueConstraint(fields=["tenant"], name="routing_cache_settings_once")]

    def __str__(self) -> str:
        return "answer caches"


class SemanticAnswer(models.Model):
    """An answer that may be served to a question of the same meaning. `owner` is None where the workspace shares them.

    `context` is a digest of all that must agree exactly; `entry` the answer, as `caches.entry` writes it.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    owner_id = models.UUIDField(null=True)
    context = models.BinaryField()
    embedder = models.CharField(max_length=200)
    model = models.CharField(max_length=120)
    question = models.TextField()
    vector = HalfVectorField()
    entry = models.TextField()
    kept_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "context"], name="routing_semantic_context"),
            models.Index(fields=["tenant", "last_used_at"], name="routing_semantic_used"),
        ]

    def __str__(self) -> str:
        return self.question[:60]


class CacheEvidence(models.Model):
    """A measurement that speaks for a semantic cache by one embedding model. Without it there is none."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    embedding_model = models.CharField(max_length=120)
    fingerprint = models.CharField(max_length=200)
    guards = models.PositiveIntegerField(help_text="Which guards it was measured with.")
    threshold = models.FloatField(help_text="The least that reached the target.")
    report = models.JSONField(help_text="The measurement's figures.")
    measured_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "cache evidence"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "embedding_model"], nulls_distinct=False, name="routing_cache_evidence_once"
            )
        ]

    def __str__(self) -> str:
        return f"evidence for {self.embedding_model}"
