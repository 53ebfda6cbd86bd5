"""What was measured of a policy before a tenant may let it choose."""

from django.db import models
from uuid6 import uuid7


class RoutingEvidence(models.Model):
    """An evaluation on a tenant's own graded questions that speaks for a policy of the kind `auto`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    policy_slug = models.CharField(max_length=120)
    report = models.JSONField(help_text="The evaluation's figures.")
    measured_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "routing evidence"
        constraints = [models.UniqueConstraint(fields=["tenant", "policy_slug"], name="routing_evidence_once")]

    def __str__(self) -> str:
        return f"evidence for {self.policy_slug}"
