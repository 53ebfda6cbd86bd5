"""These tests stand at doors of their own (`doors.py`)."""

import time
from collections.abc import Iterator

import pytest
from django.test import override_settings


@pytest.fixture(autouse=True)
def doors() -> Iterator[None]:
    with override_settings(ROOT_URLCONF="tests.tenants.doors"):
        yield


@pytest.fixture
def one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Throttles count within one period, however the test falls into it."""
    ends_at = int(time.time()) + 60
    monkeypatch.setattr("django_ratelimit.core._get_window", lambda value, period: ends_at)
