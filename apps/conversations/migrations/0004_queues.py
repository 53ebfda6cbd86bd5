from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("conversations", "0003_summaries")]

    # Defaults of the database, so that processes of the version before go on writing rows.
    operations = [
        migrations.AddField(
            model_name="generation",
            name="queue",
            field=models.CharField(
                db_default="default", help_text="Which workers can follow the plan.", max_length=20
            ),
        ),
        migrations.AddField(
            model_name="worker", name="queue", field=models.CharField(db_default="default", max_length=20)
        ),
        migrations.RemoveIndex(model_name="generation", name="conversations_queue"),
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(fields=["queue", "queued_at"], condition=Q(state="queued"), name="conversations_queued"),
        ),
    ]
