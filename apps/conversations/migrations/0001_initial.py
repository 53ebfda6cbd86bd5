import apps.conversations.contracts
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid6
from django.conf import settings
from django.db import migrations, models

from apps.tenants.row_security import ENGINE, forced, tenant_reference, tenant_table


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tenants', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('slots', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('lease_until', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Conversation',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('title', models.CharField(max_length=200)),
                ('title_is_manual', models.BooleanField(default=False)),
                ('model_policy', models.JSONField(blank=True, default=dict, help_text='How models are chosen for the next turn.')),
                ('models_chosen', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=120), blank=True, default=list, size=None)),
                ('turn_count', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_activity_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Generation',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('api_key_id', models.UUIDField(null=True)),
                ('lane_position', models.PositiveSmallIntegerField()),
                ('model_slug', models.CharField(max_length=120)),
                ('plan', models.JSONField(help_text='The routing plan fixed at admission: candidates, prices, bounds.')),
                ('state', models.CharField(choices=[('queued', 'queued'), ('running', 'running'), ('completed', 'completed'), ('partial', 'partial'), ('failed', 'failed'), ('cancelled', 'cancelled')], default=apps.conversations.contracts.GenerationState['QUEUED'], max_length=10)),
                ('fence', models.BigIntegerField(default=0)),
                ('owner', models.UUIDField(null=True)),
                ('claims', models.PositiveSmallIntegerField(default=0)),
                ('cancel_at', models.DateTimeField(null=True)),
                ('deadline_at', models.DateTimeField()),
                ('queued_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('started_at', models.DateTimeField(null=True)),
                ('first_token_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('last_event_id', models.CharField(max_length=40, null=True)),
                ('text_sha256', models.CharField(max_length=64, null=True)),
                ('finish_reason', models.CharField(max_length=40, null=True)),
                ('error_code', models.CharField(max_length=60, null=True)),
                ('error_message', models.TextField(null=True)),
                ('error_retryable', models.BooleanField(default=False)),
                ('usage', models.JSONField(default=dict)),
                ('cost_nanousd', models.BigIntegerField(null=True)),
                ('route', models.JSONField(default=dict)),
                ('conversation', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='generations', to='conversations.conversation')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Attempt',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('fence', models.BigIntegerField()),
                ('number', models.PositiveSmallIntegerField(help_text='1 for the first attempt under this fence.')),
                ('deployment_id', models.UUIDField()),
                ('provider', models.CharField(max_length=60)),
                ('model_slug', models.CharField(max_length=120)),
                ('price_id', models.UUIDField(null=True)),
                ('input_tokens_bound', models.BigIntegerField()),
                ('output_tokens_bound', models.BigIntegerField()),
                ('amount_bound_nanousd', models.BigIntegerField()),
                ('state', models.CharField(choices=[('begun', 'Begun'), ('won', 'Won'), ('failed', 'Failed'), ('cancelled', 'Cancelled'), ('lost', 'lost with its worker')], default='begun', max_length=10)),
                ('error_code', models.CharField(max_length=60, null=True)),
                ('began_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('first_token_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('generation', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='attempts', to='conversations.generation')),
            ],
        ),
        migrations.CreateModel(
            name='Lane',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('position', models.PositiveSmallIntegerField()),
                ('model_slug', models.CharField(max_length=120)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('conversation', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='lanes', to='conversations.conversation')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
        ),
        migrations.AddField(
            model_name='generation',
            name='lane',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='generations', to='conversations.lane'),
        ),
        migrations.CreateModel(
            name='Message',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('system', 'System'), ('user', 'User'), ('assistant', 'Assistant'), ('tool', 'Tool')], max_length=10)),
                ('status', models.CharField(choices=[('pending', 'pending'), ('completed', 'completed'), ('partial', 'partial'), ('failed', 'failed'), ('cancelled', 'cancelled')], default=apps.conversations.contracts.MessageStatus['COMPLETED'], max_length=10)),
                ('text', models.TextField(blank=True)),
                ('content', models.JSONField(default=list)),
                ('model_slug', models.CharField(max_length=120, null=True)),
                ('input_tokens', models.BigIntegerField(null=True)),
                ('output_tokens', models.BigIntegerField(null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('conversation', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='messages', to='conversations.conversation')),
                ('lane', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.lane')),
                ('parent', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.message')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
        ),
        migrations.AddField(
            model_name='generation',
            name='message',
            field=models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='generation', to='conversations.message'),
        ),
        migrations.CreateModel(
            name='Turn',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('seq', models.PositiveIntegerField()),
                ('idempotency_key', models.CharField(max_length=255, null=True)),
                ('request_digest', models.BinaryField(max_length=32, null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('conversation', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='turns', to='conversations.conversation')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.AddField(
            model_name='message',
            name='turn',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='messages', to='conversations.turn'),
        ),
        migrations.AddField(
            model_name='generation',
            name='turn',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='generations', to='conversations.turn'),
        ),
        migrations.AddIndex(
            model_name='conversation',
            index=models.Index(condition=models.Q(('deleted_at__isnull', True)), fields=['tenant', 'user', '-last_activity_at', '-id'], name='conversations_sidebar'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(fields=['generation', 'fence', 'number'], name='conversations_attempt_order'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(fields=('generation', 'fence', 'number'), name='conversations_attempt_once'),
        ),
        migrations.AddConstraint(
            model_name='lane',
            constraint=models.UniqueConstraint(fields=('conversation', 'position'), name='conversations_lane_position'),
        ),
        migrations.AddConstraint(
            model_name='turn',
            constraint=models.UniqueConstraint(fields=('conversation', 'seq'), name='conversations_turn_seq'),
        ),
        migrations.AddConstraint(
            model_name='turn',
            constraint=models.UniqueConstraint(condition=models.Q(('idempotency_key__isnull', False)), fields=('tenant', 'user', 'idempotency_key'), name='conversations_turn_idempotency'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['tenant', 'conversation', 'id'], name='conversations_timeline'),
        ),
        migrations.AddIndex(
            model_name='message',
            index=models.Index(fields=['turn', 'lane'], name='conversations_message_turn'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(condition=models.Q(('state', 'queued')), fields=['tenant', 'queued_at'], name='conversations_queue'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(condition=models.Q(('state', 'running')), fields=['owner'], name='conversations_running'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(fields=['tenant', 'conversation'], name='conversations_generation_chat'),
        ),
        migrations.AddIndex(
            model_name='generation',
            index=models.Index(fields=['turn', 'lane_position'], name='conversations_generation_turn'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'running'), _negated=True), ('owner__isnull', False), _connector='OR'), name='conversations_running_has_owner'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['queued', 'running']), ('finished_at__isnull', False), _connector='OR'), name='conversations_terminal_has_time'),
        ),
            *tenant_table("conversations_conversation", app="SELECT, INSERT, UPDATE", engine="SELECT (id, tenant_id, user_id)"),
        *tenant_table("conversations_lane", app="SELECT, INSERT"),
        *tenant_table("conversations_turn", app="SELECT, INSERT"),
        *tenant_table(
            "conversations_message",
            app="SELECT, INSERT, UPDATE",
            engine="SELECT (id, tenant_id), UPDATE (status, text, content)",
        ),
        *tenant_table(
            "conversations_generation",
            app="SELECT, INSERT, UPDATE",
            engine="SELECT, UPDATE (state, fence, owner, claims, started_at, finished_at, text_sha256, finish_reason, "
            "error_code, error_message, error_retryable, cost_nanousd)",
        ),
        *tenant_table(
            "conversations_attempt",
            app="SELECT, INSERT, UPDATE (state, error_code, first_token_at, ended_at)",
            engine="SELECT, UPDATE (state, ended_at)",
        ),
        tenant_reference("conversations_lane", "conversation_id", "conversations_conversation"),
        tenant_reference("conversations_turn", "conversation_id", "conversations_conversation"),
        tenant_reference("conversations_message", "conversation_id", "conversations_conversation"),
        tenant_reference("conversations_message", "turn_id", "conversations_turn"),
        tenant_reference("conversations_message", "lane_id", "conversations_lane"),
        tenant_reference("conversations_message", "parent_id", "conversations_message"),
        tenant_reference("conversations_generation", "conversation_id", "conversations_conversation"),
        tenant_reference("conversations_generation", "turn_id", "conversations_turn"),
        tenant_reference("conversations_generation", "lane_id", "conversations_lane"),
        tenant_reference("conversations_generation", "message_id", "conversations_message"),
        tenant_reference("conversations_attempt", "generation_id", "conversations_generation"),
        # Workers belong to no tenant; only the engine knows them.
        migrations.RunSQL(
            [
                *forced("conversations_worker"),
                f"CREATE POLICY engine ON conversations_worker TO {ENGINE} USING (true) WITH CHECK (true)",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON conversations_worker TO {ENGINE}",
            ],
            migrations.RunSQL.noop,
        ),
    ]
