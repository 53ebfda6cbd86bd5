"""These tests stand at doors of their own (`doors.py`)."""

from collections.abc import Iterator

import pytest
from django.test import override_settings


@pytest.fixture(autouse=True)
def doors() -> Iterator[None]:
    with override_settings(ROOT_URLCONF="tests.tenants.doors"):
        yield
