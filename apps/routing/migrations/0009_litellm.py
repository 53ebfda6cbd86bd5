from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("routing", "0008_answer_caches")]

    operations = [
        migrations.AlterField(
            model_name="provider",
            name="adapter",
            field=models.CharField(
                choices=[
                    ("openai_compatible", "OpenAI-compatible"),
                    ("anthropic", "Anthropic"),
                    ("litellm", "all others, through litellm"),
                ],
                default="openai_compatible",
                max_length=40,
            ),
        ),
        migrations.AddConstraint(
            model_name="provider",
            constraint=models.CheckConstraint(
                condition=~Q(adapter="litellm") | Q(tenant__isnull=True), name="routing_provider_litellm_is_ours"
            ),
        ),
    ]
