import django.core.validators
import django.db.models.deletion
import uuid6
from django.conf import settings
from django.db import migrations, models

from apps.tenants.row_security import APP, tenant_table


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0009_sessions_end_with_provider'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='max_output_tokens',
            field=models.PositiveIntegerField(blank=True, help_text='No answer has more tokens than this, whatever is asked for; empty means as many as the model gives.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.CreateModel(
            name='Instruction',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('text', models.TextField(blank=True)),
                ('tenant', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('tenant', 'user'), name='tenants_instruction_once', nulls_distinct=False)],
            },
        ),
        *tenant_table("tenants_instruction", app="SELECT, INSERT, UPDATE (text)"),
        migrations.RunSQL(f"GRANT UPDATE (max_output_tokens) ON tenants_tenant TO {APP}", migrations.RunSQL.noop),
    ]
