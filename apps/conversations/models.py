"""Chats as appended rows: conversation -> turn -> messages (a tree) and, per lane, a generation with its attempts.

`docs/architecture.md` tells how a generation moves; the columns `fence`, `owner`, `claims` and `cancel_at` carry it.
"""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid6 import uuid7

from apps.conversations.contracts import GenerationState, MessageStatus


class Conversation(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    title = models.CharField(max_length=200)
    title_is_manual = models.BooleanField(default=False)
    model_policy = models.JSONField(default=dict, blank=True, help_text="How models are chosen for the next turn.")
    models_chosen = ArrayField(models.CharField(max_length=120), default=list, blank=True)
    instructions = models.TextField(
        default="", db_default="", blank=True, help_text="What models are told before each question."
    )
    turn_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    last_activity_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["tenant", "user", "-last_activity_at", "-id"],
                condition=Q(deleted_at__isnull=True),
                name="conversations_sidebar",
            )
        ]

    def __str__(self) -> str:
        return self.title


class Lane(models.Model):
    """One model's column in a conversation. Each lane keeps its own history."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="lanes", db_constraint=False)
    position = models.PositiveSmallIntegerField()
    model_slug = models.CharField(max_length=120)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "position"], name="conversations_lane_position")]

    def __str__(self) -> str:
        return f"{self.position}: {self.model_slug}"


class Turn(models.Model):
    """One question and the lanes that answer it. Carries the idempotency of the request that made it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns", db_constraint=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    seq = models.PositiveIntegerField()
    idempotency_key = models.CharField(max_length=255, null=True)
    request_digest = models.BinaryField(max_length=32, null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="conversations_turn_seq"),
            models.UniqueConstraint(
                fields=["tenant", "user", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="conversations_turn_idempotency",
            ),
        ]

    def __str__(self) -> str:
        return f"turn {self.seq}"


class Message(models.Model):
    """A question or an answer. `text` is what is read; `content` the structured parts (text, reasoning, tool calls)."""

    class Role(models.TextChoices):
        SYSTEM = "system"
        USER = "user"
        ASSISTANT = "assistant"
        TOOL = "tool"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="messages", db_constraint=False
    )
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="messages", db_constraint=False)
    lane = models.ForeignKey(Lane, on_delete=models.CASCADE, null=True, related_name="+", db_constraint=False)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, related_name="+", db_constraint=False)
    role = models.CharField(max_length=10, choices=Role.choices)
    status = models.CharField(max_length=10, choices=MessageStatus.choices(), default=MessageStatus.COMPLETED)
    text = models.TextField(blank=True)
    content = models.JSONField(default=list)
    model_slug = models.CharField(max_length=120, null=True)
    input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "conversation", "id"], name="conversations_timeline"),
            models.Index(fields=["turn", "lane"], name="conversations_message_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"


class AnswerManager(models.Manager["Generation"]):
    """Generations that people read: summaries are made like answers and shown to models alone."""

    def get_queryset(self) -> models.QuerySet["Generation"]:
        return super().get_queryset().filter(kind=Generation.Kind.ANSWER)


class Generation(models.Model):
    """One lane's answer on its way. The queued row is the outbox: a worker claims it, whatever rang or did not ring."""

    class Kind(models.TextChoices):
        ANSWER = "answer"
        SUMMARY = "summary", "summary of what a lane's window leaves out"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    api_key_id = models.UUIDField(null=True)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="generations", db_constraint=False
    )
    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="generations", db_constraint=False)
    lane = models.ForeignKey(Lane, on_delete=models.CASCADE, related_name="generations", db_constraint=False)
    lane_position = models.PositiveSmallIntegerField()
    message = models.OneToOneField(Message, on_delete=models.CASCADE, related_name="generation", db_constraint=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.ANSWER, db_default=Kind.ANSWER)
    model_slug = models.CharField(max_length=120)
    plan = models.JSONField(help_text="The routing plan fixed at admission: candidates, prices, bounds.")
    queue = models.CharField(max_length=20, db_default="default", help_text="Which workers can follow the plan.")

    state = models.CharField(max_length=10, choices=GenerationState.choices(), default=GenerationState.QUEUED)
    fence = models.BigIntegerField(default=0)
    owner = models.UUIDField(null=True)
    claims = models.PositiveSmallIntegerField(default=0)
    cancel_at = models.DateTimeField(null=True)
    deadline_at = models.DateTimeField()

    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    first_token_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    last_event_id = models.CharField(max_length=40, null=True)
    text_sha256 = models.CharField(max_length=64, null=True)
    finish_reason = models.CharField(max_length=40, null=True)
    error_code = models.CharField(max_length=60, null=True)
    error_message = models.TextField(null=True)
    error_retryable = models.BooleanField(default=False)
    usage = models.JSONField(default=dict)
    cost_nanousd = models.BigIntegerField(null=True)
    route = models.JSONField(default=dict)

    objects = models.Manager["Generation"]()
    answers = AnswerManager()

    class Meta:
        indexes = [
            models.Index(fields=["queue", "queued_at"], condition=Q(state="queued"), name="conversations_queued"),
            models.Index(fields=["owner"], condition=Q(state="running"), name="conversations_running"),
            models.Index(fields=["tenant", "conversation"], name="conversations_generation_chat"),
            models.Index(fields=["turn", "lane_position"], name="conversations_generation_turn"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["lane"],
                condition=Q(kind="summary", state__in=["queued", "running"]),
                name="conversations_one_summary_at_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(owner__isnull=False), name="conversations_running_has_owner"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"]) | Q(finished_at__isnull=False),
                name="conversations_terminal_has_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_slug} {self.state}"


class SystemText(models.Model):
    """A system prompt as it was sent. Its id is made from tenant, person and text, so each text is kept once."""

    id = models.UUIDField(primary_key=True, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"system prompt {self.id}"


class PromptRecord(models.Model):
    """What one generation's model is shown: which rows, in which order. Those do not change, so neither does this."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    generation = models.OneToOneField(Generation, on_delete=models.CASCADE, related_name="prompt", db_constraint=False)
    system = models.ForeignKey(SystemText, on_delete=models.CASCADE, null=True, related_name="+", db_constraint=False)
    summary = models.ForeignKey(
        Message,
        on_delete=models.CASCADE,
        null=True,
        related_name="+",
        db_constraint=False,
        help_text="The message that holds the summary of the turns before those shown.",
    )
    messages = ArrayField(models.UUIDField(), help_text="Questions and answers in the order shown; the question last.")
    summarises = models.BooleanField(
        default=False, db_default=False, help_text="The model is asked for a summary of the messages."
    )
    max_output_tokens = models.PositiveIntegerField(null=True, help_text="As the caller asked for.")
    turns_left_out = models.PositiveIntegerField(default=0)
    turns_summarised = models.PositiveIntegerField(default=0, help_text="How many of those the summary covers.")

    def __str__(self) -> str:
        return f"prompt of {self.generation_id}"


class LaneSummary(models.Model):
    """That the message of a generation tells of all turns of a lane up to number `covers`, once it is completed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    lane = models.ForeignKey(Lane, on_delete=models.CASCADE, related_name="summaries", db_constraint=False)
    generation = models.OneToOneField(Generation, on_delete=models.CASCADE, related_name="covered", db_constraint=False)
    covers = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "lane summaries"
        indexes = [models.Index(fields=["tenant", "lane", "-covers"], name="conversations_lane_summaries")]

    def __str__(self) -> str:
        return f"turns up to {self.covers} of {self.lane_id}"


class Attempt(models.Model):
    """One call to a provider, written before it is made. Its id travels upstream, so that bills can be matched."""

    class State(models.TextChoices):
        BEGUN = "begun"
        WON = "won"
        FAILED = "failed"
        CANCELLED = "cancelled"
        LOST = "lost", "lost with its worker"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="attempts", db_constraint=False)
    fence = models.BigIntegerField()
    number = models.PositiveSmallIntegerField(help_text="1 for the first attempt under this fence.")
    deployment_id = models.UUIDField()
    provider = models.CharField(max_length=60)
    model_slug = models.CharField(max_length=120)
    price_id = models.UUIDField(null=True)
    input_tokens_bound = models.BigIntegerField()
    output_tokens_bound = models.BigIntegerField()
    amount_bound_nanousd = models.BigIntegerField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.BEGUN)
    error_code = models.CharField(max_length=60, null=True)
    began_at = models.DateTimeField(db_default=Now())
    first_token_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["generation", "fence", "number"], name="conversations_attempt_order")]
        constraints = [
            models.UniqueConstraint(fields=["generation", "fence", "number"], name="conversations_attempt_once")
        ]

    def __str__(self) -> str:
        return f"attempt {self.fence}.{self.number}"


class Worker(models.Model):
    """A living worker process. The lease is the worker's; a row past `lease_until` may be reaped by any other."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slots = models.PositiveIntegerField()
    queue = models.CharField(max_length=20, db_default="default")
    started_at = models.DateTimeField(db_default=Now())
    lease_until = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
