"""Every change of a model has its migration."""

from io import StringIO

from django.core.management import call_command


def test_no_migration_is_missing() -> None:
    out = StringIO()
    call_command("makemigrations", "--check", "--dry-run", stdout=out)
    assert "No changes detected" in out.getvalue()


def test_the_system_check_is_clean() -> None:
    call_command("check", "--fail-level", "WARNING")
