"""Migrations, static files and demonstration data: each done again only when what it depends on has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import psycopg

from onebox.process import Process, StartFailed
from onebox.supervisor import Supervisor

Manage = Callable[..., None]


class Preparation:
    """Remembers in `state.json` what was done, as hashes of what it depended on."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._path = folder / "state.json"

    def migrate(self, manage: Manage, owner_url: str) -> bool:
        """Migrate unless neither the files nor the database changed. Returns whether it ran."""
        if self._done().get("migrated") == self._migration_state(owner_url):
            return False
        manage("migrate", "--noinput")
        self._note("migrated", self._migration_state(owner_url))
        return True

    def collect_static(self, manage: Manage) -> bool:
        """Collect static files unless none changed. Returns whether it ran."""
        folders = [self._root / "static", *self._root.glob("apps/*/static")]
        files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
        stamps = (f"{path.relative_to(self._root)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files)
        state = _digest([*sorted(stamps), *self._frame()])
        if self._done().get("static") == state and (self._folder / "static").is_dir():
            return False
        manage("collectstatic", "--noinput", "--clear")
        self._note("static", state)
        return True

    def seed_demo(self, manage: Manage, env: Mapping[str, str]) -> bool:
        """Write the demonstration's data and `demo.json` unless that was done for this database and these addresses."""
        target = self._folder / "demo.json"
        sources = sorted(
            [
                *self._root.glob("*/management/commands/seed_demo.py"),
                *self._root.glob("apps/*/management/commands/seed_demo.py"),
            ]
        )
        state = _digest(
            [
                env["BASE_URL"],
                env["SIMULATOR_URL"],
                # The seed offers the models these lead to.
                env.get("OPENAI_API_KEY", ""),
                env.get("ANTHROPIC_API_KEY", ""),
                env.get("OLLAMA_HOST", ""),
                self._migration_state(env["DATABASE_OWNER_URL"]),
                *(path.read_text() for path in sources),
            ]
        )
        if self._done().get("demo") == state and target.exists():
            return False
        manage("seed_demo", "--json", str(target))
        target.chmod(0o600)
        self._note("demo", state)
        return True

    def _migration_state(self, owner_url: str) -> str:
        files = sorted(self._root.glob("apps/*/migrations/*.py"))
        return _digest([*(f"{path.name}\n{path.read_text()}" for path in files), *self._frame(), _identity(owner_url)])

    def _frame(self) -> list[str]:
        """The installed packages and the list of apps: both bring migrations and static files of their own."""
        return [(self._root / name).read_text() for name in ("requirements.txt", "chatproject/settings.py")]

    def _done(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._path.read_text()))
        except (OSError, ValueError):
            return {}

    def _note(self, key: str, state: str) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._done() | {key: state}))
        draft.replace(self._path)


class DjangoCommands:
    """Runs `manage.py` commands as supervised processes, so that none outlives us."""

    def __init__(self, supervisor: Supervisor, root: Path, python: str, env: Mapping[str, str]) -> None:
        self._supervisor = supervisor
        self._root = root
        self._python = python
        self._env = env

    def __call__(self, command: str, *arguments: str) -> None:
        """Run one to its end. Raises StartFailed with the end of its output."""
        process = Process(
            f"manage-{command}",
            [self._python, "manage.py", command, *arguments],
            self._env,
            self._supervisor.logs / f"manage-{command}.log",
            cwd=self._root,
            record_path=self._supervisor.records / f"manage-{command}.json",
        )
        self._supervisor.add(process, tier=0)
        process.start()
        code = process.wait()
        self._supervisor.remove(process.name)
        if code:
            raise StartFailed(f"manage.py {command} failed with code {code}.\n{process.log_tail()}")


def has_litellm(url: str) -> bool:
    """Whether a provider is switched on that only litellm can call."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        try:
            row = connection.execute(
                "SELECT EXISTS (SELECT FROM routing_provider WHERE adapter = 'litellm' AND enabled)"
            ).fetchone()
        except psycopg.errors.UndefinedTable:
            return False
    return bool(row and row[0])


def _digest(parts: Iterable[str]) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part.encode() + b"\0")
    return sha.hexdigest()


def _identity(url: str) -> str:
    """Which database this is and how far it is migrated: another server, a new or a restored database all differ."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(
            "SELECT (SELECT system_identifier FROM pg_control_system()), "
            "(SELECT oid FROM pg_database WHERE datname = current_database()), to_regclass('public.django_migrations')"
        ).fetchone()
        applied = None
        if row and row[2] is not None:
            applied = connection.execute("SELECT count(*), max(id) FROM public.django_migrations").fetchone()
    return f"{row} {applied}"
