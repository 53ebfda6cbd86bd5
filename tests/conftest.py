"""Every test runs on real PostgreSQL and Redis, as the role that serves, with real commits; no other host is reached.

A test makes its own tenant (fixtures `alice`, `bob`, `mallory`) and nothing is truncated, so tests neither see each
other nor wait for each other.
"""

import atexit
import os
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper
from pytest_django.plugin import DjangoDbBlocker

from tests import servers, together

# Several runs may share the servers.
_RUN = f"main{os.getpid()}"
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", _RUN)

if settings.configured:
    raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: tests choose their own environment.")

# Before Django reads its settings: they need the addresses.
_inherited = servers.shared()
_own = servers.Servers() if _inherited is None else None
try:
    _addresses = _own.start() if _own is not None else _inherited
    assert _addresses is not None
    _urls = servers.new_database(_addresses, _WORKER)
except BaseException:
    if _own is not None:
        _own.stop()
    raise
if _own is not None:
    atexit.register(_own.stop)  # not a hook: pytest calls none after a conftest that cannot be imported
servers.share(_addresses)
for _name in ("DEMO", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OLLAMA_HOST", "WEB_SERVER", "BASE_URL"):
    os.environ.pop(_name, None)
# One that has no number of its own is given one, or takes the last: others may run beside it.
_given = os.environ.pop("SWITCHBOARD_TEST_NUMBER", servers.REDIS_DATABASES - 1)
_number = int(_WORKER.removeprefix("gw") if _WORKER.startswith("gw") else _given)
os.environ.update(servers.environment(_addresses, _urls, _WORKER, _number))
os.environ["DJANGO_SETTINGS_MODULE"] = "chatproject.settings"
django.setup()
# Every test client would look through all static files, which took a third of the tests' time.
settings.SERVESTATIC_USE_FINDERS = settings.SERVESTATIC_AUTOREFRESH = False
settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
# Workers must not meet it: they would read the settings before they have a database.
del os.environ["DJANGO_SETTINGS_MODULE"]

pytest_plugins = ["tests.people", "tests.processes", "tests.product"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.allow_hosts is None:
        config.option.allow_hosts = "127.0.0.1,::1"
        config.option.allow_unix_socket = True


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return together.scheduler(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    assert _addresses is not None
    if _own is None:
        servers.drop_database(_addresses, _WORKER)


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """The database exists already; pytest-django must not make one."""


@pytest.fixture(scope="session", autouse=True)
def database(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Real connections and real commits for every test; pools are closed at the end."""
    with django_db_blocker.unblock():
        yield
        for connection in connections.all(initialized_only=True):
            connection.close()
            if isinstance(connection, DatabaseWrapper):
                connection.close_pool()
