"""Verdicts older than their time are deleted by the clock, across workspaces."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("routing", "0011_safety")]

    operations = [
        migrations.RunSQL(
            "GRANT DELETE ON routing_safetyverdict TO switchboard_engine",
            "REVOKE DELETE ON routing_safetyverdict FROM switchboard_engine",
        )
    ]
