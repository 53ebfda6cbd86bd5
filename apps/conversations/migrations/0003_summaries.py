import django.db.models.deletion
import django.db.models.functions.datetime
import uuid6
from django.conf import settings
from django.db import migrations, models

from apps.tenants.row_security import tenant_reference, tenant_table


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0002_prompts'),
        ('tenants', '0010_instructions'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='LaneSummary',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('covers', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'verbose_name_plural': 'lane summaries',
            },
        ),
        migrations.AddField(
            model_name='generation',
            name='kind',
            field=models.CharField(choices=[('answer', 'Answer'), ('summary', "summary of what a lane's window leaves out")], db_default='answer', default='answer', max_length=10),
        ),
        migrations.AddField(
            model_name='promptrecord',
            name='summarises',
            field=models.BooleanField(db_default=False, default=False, help_text='The model is asked for a summary of the messages.'),
        ),
        migrations.AddConstraint(
            model_name='generation',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'summary'), ('state__in', ['queued', 'running'])), fields=('lane',), name='conversations_one_summary_at_a_time'),
        ),
        migrations.AddField(
            model_name='lanesummary',
            name='generation',
            field=models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='covered', to='conversations.generation'),
        ),
        migrations.AddField(
            model_name='lanesummary',
            name='lane',
            field=models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='summaries', to='conversations.lane'),
        ),
        migrations.AddField(
            model_name='lanesummary',
            name='tenant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant'),
        ),
        migrations.AddIndex(
            model_name='lanesummary',
            index=models.Index(fields=['tenant', 'lane', '-covers'], name='conversations_lane_summaries'),
        ),
        *tenant_table("conversations_lanesummary", app="SELECT, INSERT"),
        tenant_reference("conversations_lanesummary", "lane_id", "conversations_lane"),
        tenant_reference("conversations_lanesummary", "generation_id", "conversations_generation"),
    ]
