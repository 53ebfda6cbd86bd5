from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("routing", "0004_profiles_and_policies")]

    # Choices are no part of the database.
    operations = [
        migrations.AlterField(
            model_name="provider",
            name="adapter",
            field=models.CharField(
                choices=[("openai_compatible", "OpenAI-compatible"), ("anthropic", "Anthropic")],
                default="openai_compatible",
                max_length=40,
            ),
        ),
    ]
