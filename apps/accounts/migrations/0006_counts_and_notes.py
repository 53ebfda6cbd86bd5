import django.contrib.postgres.fields
import django.db.models.functions.datetime
import uuid6
from django.db import migrations, models


class Migration(migrations.Migration):
    """Counts that a lost cache must not forget, and what is still to be told. People are global, and so is this."""

    dependencies = [("accounts", "0005_failures")]

    operations = [
        migrations.CreateModel(
            name="RateUse",
            fields=[
                ("subject", models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ("uses", django.contrib.postgres.fields.ArrayField(base_field=models.DateTimeField(), size=None)),
                ("ends_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="PendingNote",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False),
                ),
                ("person", models.UUIDField()),
                ("actor", models.CharField(max_length=254)),
                (
                    "only_tenant",
                    models.UUIDField(help_text="The one tenant to tell; all of the person's without it.", null=True),
                ),
                ("action", models.CharField(max_length=80)),
                ("data", models.JSONField(default=dict)),
                ("address", models.GenericIPAddressField(null=True)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("noted_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"indexes": [models.Index(fields=["noted_at"], name="accounts_pendingnote_sweep")]},
        ),
        migrations.RunSQL(
            [
                "GRANT SELECT, INSERT, UPDATE, DELETE ON accounts_rateuse TO switchboard_app",
                # Who writes a note can neither read, change nor lose one.
                "GRANT INSERT ON accounts_pendingnote TO switchboard_app",
                "GRANT SELECT, DELETE ON accounts_pendingnote TO switchboard_engine",
            ],
            migrations.RunSQL.noop,
        ),
    ]
