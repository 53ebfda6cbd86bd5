"""Flags that are on for all tenants but some, and the flags of what can be switched off."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

_FLAGS = {
    "company-sign-in": "Signing in with a company's identity provider.",
    "directory": "Members and teams kept by a company's directory (SCIM).",
}


def _make(apps: Any, schema_editor: Any) -> None:
    flags = apps.get_model("tenants", "Flag").objects.using(schema_editor.connection.alias)
    for name, note in _FLAGS.items():
        flags.get_or_create(name=name, defaults={"everyone": True, "note": note})


def _remove(apps: Any, schema_editor: Any) -> None:
    apps.get_model("tenants", "Flag").objects.using(schema_editor.connection.alias).filter(name__in=_FLAGS).delete()


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_secret_stays_at_its_issuer")]

    operations = [
        migrations.AddField(
            "flag",
            "off_for",
            ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None),
        ),
        migrations.RunPython(_make, _remove),
        migrations.AlterModelOptions("apikey", {"verbose_name": "API key"}),
        migrations.AlterModelOptions("auditentry", {"verbose_name_plural": "audit entries"}),
    ]
