from django.db import migrations, models

_APP = "switchboard_app"


class Migration(migrations.Migration):
    """Limits on how large one call may be."""

    dependencies = [("billing", "0005_teams_keys_and_tokens"), ("tenants", "0013_keys_with_bounds")]

    operations = [
        migrations.AddField(
            model_name="quota",
            name="max_input_tokens",
            field=models.PositiveIntegerField(blank=True, help_text="Of one call: about as many tokens as its prompt may have.", null=True),
        ),
        migrations.AddField(
            model_name="quota",
            name="max_output_tokens",
            field=models.PositiveIntegerField(blank=True, help_text="Of one call: the most it may ask for, and gets where it asks for no number.", null=True),
        ),
        migrations.RunSQL(
            f"GRANT UPDATE (max_input_tokens, max_output_tokens) ON billing_quota TO {_APP}", migrations.RunSQL.noop
        ),
    ]
