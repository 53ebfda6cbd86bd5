"""Which tests stay in one process of a run with several, because they share what takes seconds to make.

A mark `xdist_group` would say the same; pytest-xdist 3.8 writes it into the id of a test, and pytest 9.2 does not keep
what is written there.
"""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

GROUPS = (
    "tests/conversations/doors/",
    "tests/conversations/test_worker_processes.py",
    "tests/gateway/",
    "tests/hardening/",
    "tests/house/test_policy_doors.py",
    "tests/house/test_policy_walk.py",
    "tests/house/test_row_security.py",
    "tests/identity/",
    "tests/isolation/",
    "tests/routing/wire/",
    "tests/tenants/scim/",
)


class Together(LoadScopeScheduling):  # type: ignore[misc]  # ships no types
    """Each group to one process, and every other test to whichever is free."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """What a test is sent out with: its group, or itself alone."""
    return next((group for group in GROUPS if nodeid.startswith(group)), nodeid)


def scheduler(config: Any, log: Any) -> Together | None:
    """For `--dist loadgroup`; other ways of sharing tests out are xdist's own."""
    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None
