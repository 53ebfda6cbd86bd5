"""A worker that may not or cannot serve ends; it does not stay and swallow rings."""

import os
import subprocess

import pytest
from celery.signals import worker_init
from django.db import OperationalError

from apps.conversations import tasks
from apps.tenants.errors import UnsafeRoles
from onebox import commands
from tests.servers import ROOT


@pytest.mark.parametrize("fault", [UnsafeRoles("Tenants would not be kept apart."), OperationalError("away")])
def test_a_worker_that_cannot_serve_leaves(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    def refuse() -> None:
        raise fault

    monkeypatch.setattr(tasks, "refuse_unsafe_roles", refuse)
    with pytest.raises(SystemExit) as left:
        worker_init.send(sender="a worker")
    assert left.value.code == 1
    assert tasks._runtime is None


def test_the_process_of_an_unsafe_role_ends(database: None) -> None:
    """For real: the process is over, with an exit code that makes a supervisor notice."""
    variables = {**os.environ, "DATABASE_ENGINE_URL": os.environ["DATABASE_OWNER_URL"]}
    ended = subprocess.run(commands.worker("worker-1", "2"), env=variables, cwd=ROOT, capture_output=True, timeout=60)
    assert ended.returncode == 1
    assert b"serve as switchboard_app and switchboard_engine" in ended.stdout + ended.stderr
