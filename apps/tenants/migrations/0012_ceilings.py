import django.core.validators
from django.db import migrations, models

from apps.tenants.row_security import APP


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0011_summaries'),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='max_cost_nanousd',
            field=models.BigIntegerField(blank=True, help_text='Models whose answer is likely to cost more are left out; empty means none is.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.AddField(
            model_name='tenant',
            name='max_first_token_ms',
            field=models.PositiveIntegerField(blank=True, help_text='Where a policy chooses, models measured slower to the first token come last.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
        migrations.RunSQL(
            f"GRANT UPDATE (max_cost_nanousd, max_first_token_ms) ON tenants_tenant TO {APP}", migrations.RunSQL.noop
        ),
    ]
