import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """What is remembered of sign-ins that failed. People are global, and so is this."""

    dependencies = [("accounts", "0004_narrower_engine"), ("account", "0009_emailaddress_unique_primary_email")]

    operations = [
        migrations.CreateModel(
            name="FailureNote",
            fields=[
                ("key", models.CharField(max_length=120, primary_key=True, serialize=False)),
                ("told_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("untold", models.IntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="FailedTries",
            fields=[
                ("subject", models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ("failures", models.IntegerField()),
                ("last_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={"indexes": [models.Index(fields=["last_at"], name="accounts_failedtries_sweep")]},
        ),
        migrations.CreateModel(
            name="SpentProof",
            fields=[
                ("digest", models.BinaryField(max_length=32, primary_key=True, serialize=False)),
                ("expires_at", models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.RunSQL(
            [
                "GRANT SELECT, INSERT, UPDATE, DELETE ON accounts_failedtries, accounts_spentproof TO switchboard_app",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON accounts_failurenote TO switchboard_engine",
                # Always empty; Django looks there before an address is deleted.
                "GRANT SELECT, DELETE ON account_emailconfirmation TO switchboard_app",
            ],
            migrations.RunSQL.noop,
        ),
    ]
