"""Make the three roles, the database and the extension `vector` on a PostgreSQL server. Safe to repeat.

Reads the administrator's address from DATABASE_ADMIN_URL, and from DATABASE_OWNER_URL, DATABASE_URL and
DATABASE_ENGINE_URL which passwords the roles shall have. Run from the repository: `python deploy/bootstrap.py`.
"""

import os
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from onebox.bootstrap import APP, ENGINE, OWNER, BootstrapFailed, bootstrap

ADDRESSES = {OWNER: "DATABASE_OWNER_URL", APP: "DATABASE_URL", ENGINE: "DATABASE_ENGINE_URL"}


def main() -> int:
    """Returns the exit code: 0 when everything is there, 1 with a sentence on what is missing."""
    passwords: dict[str, str] = {}
    databases: set[str] = set()
    for role, name in ADDRESSES.items():
        parts = urlsplit(os.environ.get(name, ""))
        if parts.username != role or not parts.password:
            print(f"{name} must be an address with the login {role} and its password.", file=sys.stderr)
            return 1
        passwords[role] = unquote(parts.password)
        databases.add(unquote(parts.path.lstrip("/")))
    if len(databases) != 1 or databases == {""}:
        print(f"{', '.join(ADDRESSES.values())} must name one and the same database.", file=sys.stderr)
        return 1
    (database,) = databases
    try:
        bootstrap(os.environ.get("DATABASE_ADMIN_URL", ""), database, passwords)
    except (BootstrapFailed, psycopg.Error) as error:
        print(f"Not prepared: {error}", file=sys.stderr)
        return 1
    print(f"Database {database} and the roles {', '.join(sorted(ADDRESSES))} are there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
