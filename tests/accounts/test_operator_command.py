"""`manage.py create_operator`."""

import io
import json
from uuid import UUID, uuid4

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command

from apps.accounts import selectors


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("create_operator", *arguments, stdout=out)
    return out.getvalue()


def test_a_generated_password_is_printed_once_and_signs_in() -> None:
    email = f"Root-{uuid4().hex}@example.org"
    told = json.loads(run(email, "--name", "Root", "--generate-password", "--json"))
    user = authenticate(username=email, password=told["password"])
    assert user is not None
    assert (user.pk, user.is_superuser) == (UUID(told["user_id"]), True)


def test_a_password_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    email = f"root-{uuid4().hex}@example.org"
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough secret\n"))
    printed = run(email, "--name", "Root", "--password-stdin")
    assert "a long enough secret" not in printed
    assert authenticate(username=email, password="a long enough secret") is not None


def test_a_weak_password_makes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    email = f"root-{uuid4().hex}@example.org"
    monkeypatch.setattr("sys.stdin", io.StringIO("weak\n"))
    with pytest.raises(CommandError, match="at least 12 characters"):
        run(email, "--name", "Root", "--password-stdin")
    assert selectors.id_by_email(email) is None
