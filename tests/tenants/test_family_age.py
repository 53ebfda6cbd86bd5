"""A program that renews all the time asks its person again in the end."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from uuid6 import uuid7

from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.errors import CredentialRefused


def begun(ago: timedelta) -> UUID:
    """The id of a family that was made then."""
    milliseconds = int((datetime.now(UTC) - ago).timestamp() * 1000)
    return UUID(int=(uuid7().int & (1 << 80) - 1) | milliseconds << 80)


@pytest.mark.parametrize(("days", "renews"), [(0, True), (89.9, True), (90.1, False), (4000, False)])
def test_a_family_ends_ninety_days_after_signing_in(
    alice: Principal, monkeypatch: pytest.MonkeyPatch, days: float, renews: bool
) -> None:
    monkeypatch.setattr(tokens, "uuid7", lambda: begun(timedelta(days=days)))
    pair = tokens.issue(alice)
    assert tokens.principal_of_access(pair.access).user_id == alice.user_id
    if renews:
        assert tokens.principal_of_access(tokens.renew(pair.refresh).access).user_id == alice.user_id
        return
    with pytest.raises(CredentialRefused):
        tokens.renew(pair.refresh)
    with pytest.raises(CredentialRefused):
        tokens.principal_of_access(pair.access)
