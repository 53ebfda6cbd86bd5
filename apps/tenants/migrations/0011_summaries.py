from django.db import migrations, models

from apps.tenants.row_security import APP


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0010_instructions'),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='summaries',
            field=models.BooleanField(db_default=True, default=True, help_text="What of a chat no longer fits a model's window is summarised for it, at the tenant's cost."),
        ),
        migrations.RunSQL(f"GRANT UPDATE (summaries) ON tenants_tenant TO {APP}", migrations.RunSQL.noop),
    ]
