"""Tenants and who belongs to them. All are under row-level security, and all but `Tenant` carry `tenant`."""

from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models, router, transaction
from django.db.models.functions import Lower, Now
from uuid6 import uuid7
from waffle.models import AbstractUserFlag


class Tenant(models.Model):
    class Plan(models.TextChoices):
        FREE = "free"
        TEAM = "team"
        ENTERPRISE = "enterprise"

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    plan = models.CharField(max_length=20, choices=Plan.choices, default=Plan.FREE)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.ACTIVE)
    allowed_models = ArrayField(
        models.CharField(max_length=120),
        null=True,
        blank=True,
        help_text="Slugs of the models this tenant may use; empty means every model offered to it.",
    )
    residency = ArrayField(
        models.CharField(max_length=8),
        default=list,
        blank=True,
        help_text="Where this tenant's prompts may be processed (eu, us, ch, own ...); empty means anywhere.",
    )
    requires_second_factor = models.BooleanField(
        default=False, help_text="Members without a second factor are asked to set one up before anything else."
    )
    max_output_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="No answer has more tokens than this, whatever is asked for; empty means as many as the model gives.",
    )
    summaries = models.BooleanField(
        default=True,
        db_default=True,
        help_text="What of a chat no longer fits a model's window is summarised for it, at the tenant's cost.",
    )
    max_cost_nanousd = models.BigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Models whose answer is likely to cost more are left out; empty means none is.",
    )
    max_first_token_ms = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Where a policy chooses, models measured slower to the first token come last.",
    )
    max_tokens_per_second = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="All its answers together come no faster than this; empty means as fast as models give them.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Instruction(models.Model):
    """What models are told before every question: of everybody (no user), or of one person."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    text = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], nulls_distinct=False, name="tenants_instruction_once")
        ]

    def __str__(self) -> str:
        return f"instructions of {self.user_id or self.tenant_id}"


class Membership(models.Model):
    class Role(models.TextChoices):
        OWNER = "owner"
        ADMIN = "admin"
        BILLING_ADMIN = "billing_admin", "Billing admin"
        MEMBER = "member"
        VIEWER = "viewer"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    suspended_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on the person may not enter. What they wrote and spent stays."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="tenants_membership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.tenant_id} as {self.role}"


class ApiKey(models.Model):
    """A program's credential. Only the prefix and an HMAC of the secret are kept; the secret is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=120)
    prefix = models.CharField(max_length=24, unique=True)
    digest = models.BinaryField(max_length=32)
    scopes = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    allowed_models = ArrayField(
        models.CharField(max_length=120),
        null=True,
        blank=True,
        help_text="Slugs of the models and policies it may reach; empty means all that its person may.",
    )
    # A key ends with its team, before the reference does: see the migration that made the column.
    team = models.ForeignKey("Team", on_delete=models.DO_NOTHING, null=True, related_name="+", db_constraint=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    rotated_at = models.DateTimeField(null=True, blank=True, help_text="When it got the secret it has now.")
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["tenant", "user", "-created_at"], name="tenants_apikey_list")]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class EarlierSecret(models.Model):
    """A secret that a key had before it was rotated. It works beside the new one until it ends."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="earlier_secrets", db_constraint=False)
    prefix = models.CharField(max_length=24, unique=True)
    digest = models.BinaryField(max_length=32)
    ends_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["tenant", "api_key", "ends_at"], name="tenants_earliersecret_list")]

    def __str__(self) -> str:
        return f"{self.prefix}…"


class Team(models.Model):
    """A group of members that rules and budgets may name."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="teams")
    name = models.CharField(max_length=120)
    external_id = models.CharField(max_length=255, blank=True, help_text="The directory's own id of this group.")
    provisioned = models.BooleanField(default=False, help_text="Kept by a directory through SCIM.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint("tenant", Lower("name"), name="tenants_team_name")]

    def __str__(self) -> str:
        return self.name


class TeamMember(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="members", db_constraint=False)
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="teams", db_constraint=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "membership"], name="tenants_teammember_once")]

    def __str__(self) -> str:
        return f"{self.membership_id} in {self.team_id}"


class Invitation(models.Model):
    """An open door for one e-mail address. Only an HMAC of the link's secret is kept."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=20, choices=Membership.Role.choices, default=Membership.Role.MEMBER)
    digest = models.BinaryField(max_length=32, unique=True)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["tenant", "-created_at"], name="tenants_invitation_list")]

    def __str__(self) -> str:
        return f"{self.email} as {self.role}"


class RefreshToken(models.Model):
    """One link of a program's sign-in. Renewing uses it up and makes the next; a second use ends the whole family."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    family = models.UUIDField()
    parent = models.UUIDField(null=True)
    digest = models.BinaryField(max_length=32, unique=True)
    client = models.CharField(
        max_length=200, blank=True, help_text="What asked for it: a browser, a program, a client id."
    )
    identity_provider = models.UUIDField(
        null=True, help_text="The company's sign-in whose session it was agreed to in; it ends with that."
    )
    issued_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "family"], name="tenants_refreshtoken_family"),
            models.Index(fields=["tenant", "user", "-issued_at"], name="tenants_refreshtoken_list"),
        ]

    def __str__(self) -> str:
        return f"{self.family}"


class ModelRule(models.Model):
    """Who may use the models of a tier: members with one of these roles, or of one of these teams.

    A tier without a rule is open to every member who may ask.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="model_rules")
    tier = models.CharField(max_length=40)
    roles = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    teams = ArrayField(models.UUIDField(), default=list, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "tier"], name="tenants_modelrule_once")]

    def __str__(self) -> str:
        return self.tier


class IdentityProvider(models.Model):
    """A company's own sign-in (OpenID Connect). Who comes from there belongs to this tenant."""

    class Kind(models.TextChoices):
        OIDC = "oidc", "OpenID Connect"
        ENTRA = "entra", "Microsoft Entra"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="identity_providers")
    slug = models.SlugField(max_length=60, unique=True, help_text="Part of the sign-in address.")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.OIDC)
    issuer = models.URLField(max_length=400)
    directory_id = models.CharField(max_length=64, blank=True, help_text="Entra's tenant id (tid); others are refused.")
    client_id = models.CharField(max_length=200)
    sealed_secret = models.TextField(blank=True, editable=False)
    default_role = models.CharField(max_length=20, choices=Membership.Role.choices, default=Membership.Role.MEMBER)
    enabled = models.BooleanField(default=True)
    turned_at = models.DateTimeField(
        null=True, editable=False, help_text="When it was last switched off, or turned to other people."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.name


class ProvisionedUser(models.Model):
    """What a directory says of a member through SCIM, beside the membership it keeps."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+")
    membership = models.OneToOneField(
        Membership, on_delete=models.CASCADE, related_name="provisioned", db_constraint=False
    )
    user_name = models.CharField(max_length=254)
    external_id = models.CharField(max_length=255, blank=True)
    attributes = models.JSONField(default=dict, help_text="What was sent, without what is kept elsewhere.")
    active = models.BooleanField(default=True, help_text="As the directory says.")
    pending = models.BooleanField(
        default=False, help_text="Their account was there before, and they have not agreed to join: they may not enter."
    )
    made_account = models.BooleanField(default=False, help_text="The account was made for this row.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint("tenant", Lower("user_name"), name="tenants_provisioneduser_name")]
        indexes = [models.Index(fields=["tenant", "external_id"], name="tenants_provisioneduser_extern")]

    def __str__(self) -> str:
        return self.user_name


class AuditEntry(models.Model):
    """Who did what to which row, from where. Appended only; each entry's hash covers the one before it.

    `tenant` is empty for what operators do to the installation itself. Entries of one tenant are numbered from 1.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, related_name="+")
    seq = models.BigIntegerField()
    at = models.DateTimeField()
    actor_id = models.UUIDField(null=True)
    actor = models.CharField(max_length=254, help_text="As they were called then: an e-mail address, a key, a job.")
    via = models.CharField(max_length=20)
    action = models.CharField(max_length=80)
    target_kind = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    address = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict)
    previous_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        verbose_name_plural = "audit entries"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "seq"], nulls_distinct=False, name="tenants_auditentry_seq")
        ]
        indexes = [models.Index(fields=["tenant", "-at"], name="tenants_auditentry_list")]

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"


class Flag(AbstractUserFlag):
    """A feature flag that may be on for some tenants, or for all but some."""

    tenants = ArrayField(models.UUIDField(), default=list, blank=True)
    off_for = ArrayField(models.UUIDField(), default=list, blank=True)

    def is_active(self, request: Any, read_only: bool = False) -> bool | None:
        """Whether the feature is on for a request: for its principal's tenant, or by what waffle asks of its person."""
        principal = getattr(request, "principal", None)
        if not self.pk or principal is None:
            return super().is_active(request, read_only)
        # A part of all tenants, not of requests: the other rules of waffle would roll dice for each.
        if self.everyone is None and principal.tenant_id not in self.off_for and self._is_active_for_user(request):
            return True
        return self.is_on_for(principal.tenant_id)

    def is_on_for(self, tenant_id: UUID) -> bool:
        """Whether the feature is on for a whole tenant. A tenant is always on the same side of a percentage."""
        if tenant_id in self.off_for:
            return False
        if self.everyone is not None:
            return bool(self.everyone)
        if tenant_id in self.tenants:
            return True
        mark = sha256(f"{self.name}:{tenant_id}".encode()).digest()
        return self.percent is not None and int.from_bytes(mark[:4]) % 1000 < self.percent * 10

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        self._flush_after_commit(kwargs.get("using"))

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        alias = kwargs.get("using")
        deleted: tuple[int, dict[str, int]] = super().delete(*args, **kwargs)
        self._flush_after_commit(alias)
        return deleted

    def _flush_after_commit(self, using: str | None) -> None:
        """waffle empties its cache at the commit of the default database; a flag is written by another."""
        transaction.on_commit(self.flush, using=using or router.db_for_write(type(self)))
