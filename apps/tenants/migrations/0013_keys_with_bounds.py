import django.contrib.postgres.fields
import django.db.models.deletion
import uuid6
from django.db import migrations, models

from apps.tenants.row_security import APP, tenant_reference, tenant_table

# A team's key ends when its person leaves the team, and with the team itself, whoever does it and wherever. Whoever
# makes one holds the team meanwhile, so that no key is made for somebody who is just leaving.
_END = """
CREATE FUNCTION tenants_end_with_team_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM tenants_team WHERE tenant_id = OLD.tenant_id AND id = OLD.team_id FOR NO KEY UPDATE;
    UPDATE tenants_apikey k SET revoked_at = clock_timestamp() FROM tenants_membership m
        WHERE m.tenant_id = OLD.tenant_id AND m.id = OLD.membership_id AND k.tenant_id = OLD.tenant_id
        AND k.team_id = OLD.team_id AND k.user_id = m.user_id AND k.revoked_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_teammember_removed AFTER DELETE ON tenants_teammember
    FOR EACH ROW EXECUTE FUNCTION tenants_end_with_team_membership();
CREATE FUNCTION tenants_end_with_team() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants_apikey SET revoked_at = clock_timestamp()
        WHERE tenant_id = OLD.tenant_id AND team_id = OLD.id AND revoked_at IS NULL;
    RETURN OLD;
END $$;
CREATE TRIGGER tenants_team_removed BEFORE DELETE ON tenants_team
    FOR EACH ROW EXECUTE FUNCTION tenants_end_with_team();
"""
# What a key used is its own: the row stays when its team goes.
_OF_THE_TENANTS_TEAMS = (
    "ALTER TABLE tenants_apikey ADD CONSTRAINT tenants_apikey_team_id_same_tenant FOREIGN KEY (tenant_id, team_id) "
    "REFERENCES tenants_team (tenant_id, id) ON DELETE SET NULL (team_id) DEFERRABLE INITIALLY DEFERRED"
)


class Migration(migrations.Migration):
    """API keys for some models, of a team, and with a new secret beside the one they had."""

    dependencies = [("tenants", "0012_ceilings")]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="allowed_models",
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, help_text="Slugs of the models and policies it may reach; empty means all that its person may.", null=True, size=None),
        ),
        migrations.AddField(
            model_name="apikey",
            name="team",
            field=models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="tenants.team"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="rotated_at",
            field=models.DateTimeField(blank=True, help_text="When it got the secret it has now.", null=True),
        ),
        migrations.CreateModel(
            name="EarlierSecret",
            fields=[
                ("id", models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ("prefix", models.CharField(max_length=24, unique=True)),
                ("digest", models.BinaryField(max_length=32)),
                ("ends_at", models.DateTimeField()),
                ("api_key", models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name="earlier_secrets", to="tenants.apikey")),
                ("tenant", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "api_key", "ends_at"], name="tenants_earliersecret_list")],
            },
        ),
        *tenant_table("tenants_earliersecret", app="SELECT, INSERT, UPDATE (ends_at)", engine="SELECT"),
        tenant_reference("tenants_earliersecret", "api_key_id", "tenants_apikey"),
        migrations.RunSQL(
            [
                _OF_THE_TENANTS_TEAMS,
                f"GRANT UPDATE (prefix, digest, rotated_at) ON tenants_apikey TO {APP}",
                _END,
            ],
            migrations.RunSQL.noop,
        ),
    ]
