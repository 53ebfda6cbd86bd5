"""Quotas, open reservations and the ledger. Amounts are whole nano-dollars (1e-9 USD)."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid6 import uuid7


class Quota(models.Model):
    """What a tenant, or one team, user or API key in it, may use. An empty limit means that this scope sets none.

    A row that names none of the three is the tenant's own.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="quotas")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True)
    team = models.ForeignKey("tenants.Team", on_delete=models.CASCADE, null=True, blank=True, db_constraint=False,
                             related_name="+")  # fmt: skip
    api_key = models.ForeignKey("tenants.ApiKey", on_delete=models.CASCADE, null=True, blank=True,
                                db_constraint=False, related_name="+", verbose_name="API key")  # fmt: skip
    parallel_calls = models.PositiveIntegerField(null=True, blank=True)
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    budget_day_nanousd = models.BigIntegerField(null=True, blank=True)
    budget_month_nanousd = models.BigIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_day = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_per_month = models.PositiveBigIntegerField(null=True, blank=True)
    max_input_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of one call: about as many tokens as its prompt may have."
    )
    max_output_tokens = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of one call: the most it may ask for, and gets where it asks for no number."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "user", "team", "api_key"], nulls_distinct=False, name="billing_quota_scope"
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=True, team__isnull=True)
                | Q(user__isnull=True, api_key__isnull=True)
                | Q(team__isnull=True, api_key__isnull=True),
                name="billing_quota_one_scope",
            ),
            models.CheckConstraint(
                condition=Q(budget_day_nanousd__isnull=True) | Q(budget_day_nanousd__gte=0),
                name="billing_quota_day_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(budget_month_nanousd__isnull=True) | Q(budget_month_nanousd__gte=0),
                name="billing_quota_month_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"quota of {self.team_id or self.user_id or self.api_key_id or 'the tenant'}"


class Reservation(models.Model):
    """Money set aside for one call until it settles. The id is the call's (for a chat: the generation's)."""

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    api_key_id = models.UUIDField(null=True)
    amount_nanousd = models.BigIntegerField()
    tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "user"], condition=Q(state="open"), name="billing_reservation_open"),
            models.Index(fields=["settled_at"], condition=Q(state="settled"), name="billing_reservation_settled"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount_nanousd__gte=0), name="billing_reservation_not_negative")
        ]

    def __str__(self) -> str:
        return f"{self.amount_nanousd} nano-dollars for {self.id}"


class LedgerEntry(models.Model):
    """One provider attempt and what it cost. Rows are appended and never changed: UPDATE and DELETE are revoked.

    `charge` lines are the tenant's; `absorbed` lines are attempts the installation pays for itself (failed over, lost).
    """

    class Kind(models.TextChoices):
        CHARGE = "charge"
        ABSORBED = "absorbed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="+")
    attempt_id = models.UUIDField(unique=True)
    call_id = models.UUIDField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    api_key_id = models.UUIDField(null=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    provider = models.CharField(max_length=60)
    model = models.CharField(max_length=120)
    price_id = models.UUIDField(null=True)
    input_tokens = models.BigIntegerField()
    cached_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField(default=0)
    amount_nanousd = models.BigIntegerField()
    estimated = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["tenant", "created_at"], name="billing_ledger_time"),
            models.Index(fields=["tenant", "user", "created_at"], name="billing_ledger_user_time"),
            models.Index(fields=["tenant", "call_id"], name="billing_ledger_call"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount_nanousd__gte=0)
                & Q(input_tokens__gte=0)
                & Q(cached_tokens__gte=0)
                & Q(cache_write_tokens__gte=0)
                & Q(output_tokens__gte=0)
                & Q(reasoning_tokens__gte=0),
                name="billing_ledger_not_negative",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount_nanousd} nano-dollars for {self.attempt_id}"
