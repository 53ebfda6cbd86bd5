import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid6
from django.conf import settings
from django.db import migrations, models

from apps.tenants.row_security import APP, CURRENT_TENANT, CURRENT_USER, engine_access, forced, tenant_table


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Tenant',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120)),
                ('slug', models.SlugField(max_length=60, unique=True)),
                ('plan', models.CharField(choices=[('free', 'Free'), ('team', 'Team'), ('enterprise', 'Enterprise')], default='free', max_length=20)),
                ('status', models.CharField(choices=[('active', 'Active'), ('suspended', 'Suspended')], default='active', max_length=20)),
                ('allowed_models', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, help_text='Slugs of the models this tenant may use; empty means every model offered to it.', null=True, size=None)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Membership',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('owner', 'Owner'), ('admin', 'Admin'), ('billing_admin', 'Billing admin'), ('member', 'Member'), ('viewer', 'Viewer')], default='member', max_length=20)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to=settings.AUTH_USER_MODEL)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='memberships', to='tenants.tenant')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('tenant', 'user'), name='tenants_membership_once')],
            },
        ),
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120)),
                ('prefix', models.CharField(max_length=24, unique=True)),
                ('digest', models.BinaryField(max_length=32)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=60), blank=True, default=list, size=None)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to=settings.AUTH_USER_MODEL)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to='tenants.tenant')),
            ],
            options={
                'indexes': [models.Index(fields=['tenant', 'user', '-created_at'], name='tenants_apikey_list')],
            },
        ),
            migrations.RunSQL(
            [
                *forced("tenants_tenant"),
                f"CREATE POLICY tenant ON tenants_tenant TO {APP} "
                f"USING (id = {CURRENT_TENANT}) WITH CHECK (id = {CURRENT_TENANT})",
                f"GRANT SELECT, INSERT, UPDATE (name) ON tenants_tenant TO {APP}",
                *engine_access("tenants_tenant", "SELECT, INSERT, UPDATE"),
            ],
            migrations.RunSQL.noop,
        ),
        *tenant_table(
            "tenants_membership", app="SELECT, INSERT, UPDATE, DELETE", engine="SELECT, INSERT, UPDATE, DELETE"
        ),
        *tenant_table(
            "tenants_apikey",
            app="SELECT, INSERT, UPDATE (name, expires_at, revoked_at)",
            engine="SELECT, INSERT, UPDATE (last_used_at, revoked_at)",
        ),
        migrations.RunSQL(
            [
                f"CREATE POLICY own ON tenants_membership FOR SELECT TO {APP} USING (user_id = {CURRENT_USER})",
                f"CREATE POLICY own ON tenants_tenant FOR SELECT TO {APP} USING (EXISTS (SELECT 1 FROM "
                f"tenants_membership m WHERE m.tenant_id = tenants_tenant.id AND m.user_id = {CURRENT_USER}))",
            ],
            migrations.RunSQL.noop,
        ),
    ]
