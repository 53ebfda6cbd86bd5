import django.db.models.deletion
import django.db.models.functions.datetime
import uuid6
from django.conf import settings
from django.db import migrations, models

from apps.tenants.row_security import tenant_table


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tenants', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerEntry',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('attempt_id', models.UUIDField(unique=True)),
                ('call_id', models.UUIDField()),
                ('api_key_id', models.UUIDField(null=True)),
                ('kind', models.CharField(choices=[('charge', 'Charge'), ('absorbed', 'Absorbed')], max_length=10)),
                ('provider', models.CharField(max_length=60)),
                ('model', models.CharField(max_length=120)),
                ('price_id', models.UUIDField(null=True)),
                ('input_tokens', models.BigIntegerField()),
                ('cached_tokens', models.BigIntegerField(default=0)),
                ('output_tokens', models.BigIntegerField()),
                ('reasoning_tokens', models.BigIntegerField(default=0)),
                ('amount_nanousd', models.BigIntegerField()),
                ('estimated', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'ledger entries',
                'indexes': [models.Index(fields=['tenant', 'created_at'], name='billing_ledger_time'), models.Index(fields=['tenant', 'user', 'created_at'], name='billing_ledger_user_time'), models.Index(fields=['tenant', 'call_id'], name='billing_ledger_call')],
            },
        ),
        migrations.CreateModel(
            name='Quota',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('parallel_calls', models.PositiveIntegerField(blank=True, null=True)),
                ('requests_per_minute', models.PositiveIntegerField(blank=True, null=True)),
                ('budget_day_nanousd', models.BigIntegerField(blank=True, null=True)),
                ('budget_month_nanousd', models.BigIntegerField(blank=True, null=True)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='quotas', to='tenants.tenant')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('tenant', 'user'), name='billing_quota_scope', nulls_distinct=False), models.CheckConstraint(condition=models.Q(('budget_day_nanousd__isnull', True), ('budget_day_nanousd__gte', 0), _connector='OR'), name='billing_quota_day_not_negative'), models.CheckConstraint(condition=models.Q(('budget_month_nanousd__isnull', True), ('budget_month_nanousd__gte', 0), _connector='OR'), name='billing_quota_month_not_negative')],
            },
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('api_key_id', models.UUIDField(null=True)),
                ('amount_nanousd', models.BigIntegerField()),
                ('state', models.CharField(choices=[('open', 'Open'), ('settled', 'Settled')], default='open', max_length=10)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('settled_at', models.DateTimeField(null=True)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('state', 'open')), fields=['tenant', 'user'], name='billing_reservation_open')],
                'constraints': [models.CheckConstraint(condition=models.Q(('amount_nanousd__gte', 0)), name='billing_reservation_not_negative')],
            },
        ),
            *tenant_table("billing_quota", app="SELECT", engine="SELECT, INSERT, UPDATE, DELETE"),
        *tenant_table(
            "billing_reservation",
            app="SELECT, INSERT, UPDATE (state, settled_at)",
            engine="SELECT, UPDATE (state, settled_at)",
        ),
        # Append-only for every role that serves.
        *tenant_table("billing_ledgerentry", app="SELECT, INSERT", engine="SELECT, INSERT"),
    ]
