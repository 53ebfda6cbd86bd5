import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid6
from django.conf import settings
from django.db import migrations, models

from apps.tenants.row_security import tenant_reference, tenant_table


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0001_initial'),
        ('tenants', '0010_instructions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='conversation',
            name='instructions',
            field=models.TextField(blank=True, db_default='', default='', help_text='What models are told before each question.'),
        ),
        migrations.CreateModel(
            name='SystemText',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('text', models.TextField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='PromptRecord',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('messages', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), help_text='Questions and answers in the order shown; the question last.', size=None)),
                ('max_output_tokens', models.PositiveIntegerField(help_text='As the caller asked for.', null=True)),
                ('turns_left_out', models.PositiveIntegerField(default=0)),
                ('turns_summarised', models.PositiveIntegerField(default=0, help_text='How many of those the summary covers.')),
                ('generation', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='prompt', to='conversations.generation')),
                ('summary', models.ForeignKey(db_constraint=False, help_text='The message that holds the summary of the turns before those shown.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.message')),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('system', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.systemtext')),
            ],
        ),
        # Nobody may change what was sent, so no update is granted.
        *tenant_table("conversations_systemtext", app="SELECT, INSERT"),
        *tenant_table("conversations_promptrecord", app="SELECT, INSERT"),
        tenant_reference("conversations_promptrecord", "generation_id", "conversations_generation"),
        tenant_reference("conversations_promptrecord", "system_id", "conversations_systemtext"),
        tenant_reference("conversations_promptrecord", "summary_id", "conversations_message"),
    ]
