import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from apps.tenants.row_security import tenant_reference

_APP = "switchboard_app"
_SOMEBODYS = "(user_id IS NOT NULL OR team_id IS NOT NULL OR api_key_id IS NOT NULL)"
# A restriction holds beside the rule that a row must be the tenant's own. Rows that name nobody are the tenant's
# limits, which operators set; a tenant's administrators set those of their people, teams and keys.
_RESTRICTIONS = [
    f"ALTER POLICY members_insert ON billing_quota WITH CHECK {_SOMEBODYS}",
    f"ALTER POLICY members_update ON billing_quota USING {_SOMEBODYS} WITH CHECK {_SOMEBODYS}",
    f"ALTER POLICY members_delete ON billing_quota USING {_SOMEBODYS}",
]


class Migration(migrations.Migration):
    """Quotas of teams and API keys, and limits on tokens."""

    dependencies = [
        ("billing", "0004_cache_writes"),
        ("tenants", "0012_ceilings"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="quota", name="billing_quota_scope"),
        migrations.AddField(
            model_name="quota",
            name="api_key",
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.apikey", verbose_name="API key"),
        ),
        migrations.AddField(
            model_name="quota",
            name="team",
            field=models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.team"),
        ),
        migrations.AddField(
            model_name="quota", name="tokens_per_day", field=models.PositiveBigIntegerField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="quota", name="tokens_per_minute", field=models.PositiveIntegerField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="quota", name="tokens_per_month", field=models.PositiveBigIntegerField(blank=True, null=True)
        ),
        migrations.AddField(
            model_name="reservation", name="tokens", field=models.PositiveBigIntegerField(db_default=0, default=0)
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.UniqueConstraint(
                fields=("tenant", "user", "team", "api_key"), name="billing_quota_scope", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("team__isnull", True), ("user__isnull", True)),
                    models.Q(("api_key__isnull", True), ("user__isnull", True)),
                    models.Q(("api_key__isnull", True), ("team__isnull", True)),
                    _connector="OR",
                ),
                name="billing_quota_one_scope",
            ),
        ),
        tenant_reference("billing_quota", "team_id", "tenants_team"),
        tenant_reference("billing_quota", "api_key_id", "tenants_apikey"),
        migrations.RunSQL(
            [
                *_RESTRICTIONS,
                f"GRANT UPDATE (tokens_per_minute, tokens_per_day, tokens_per_month) ON billing_quota TO {_APP}",
            ],
            migrations.RunSQL.noop,
        ),
    ]
