"""What an entry says is hashed the same before it is stored and after it is read back."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.tenants import audit, audit_content
from apps.tenants.audit_chain import walk
from apps.tenants.contracts import Principal, Scope
from apps.tenants.models import AuditEntry
from apps.tenants.scope import tenant_scope


class Colour(Enum):
    RED = 1


ONE = UUID("018f0000-0000-7000-8000-000000000001")


def stored(principal: Principal, **entry: Any) -> AuditEntry:
    with tenant_scope(principal.tenant_id):
        audit.record(principal.tenant_id, audit.Actor.of(principal), "thing.done", **entry)
    found = AuditEntry.objects.using("engine").filter(tenant_id=principal.tenant_id).latest("seq")
    assert audit_content.digest(found) == bytes(found.hash)
    return found


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (ONE, str(ONE)),
        (datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2))), "2026-01-02T01:04:05.000006+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(10**40), str(-(10**40))),
        (1.0, "1.0"),
        (1e22, "1e+22"),
        (float("nan"), "nan"),
        (Decimal("1.50"), "1.50"),
        (Scope.CHAT, "chat"),
        (Colour.RED, "1"),
        (True, True),
        (None, None),
        ("a\x00b\ud800c", "a\\u0000b\\ud800c"),
        ("ä€😀", "ä€😀"),
        ({"b": 1, "a": 2, "\x00": 3, 4: 5}, {"b": 1, "a": 2, "\\u0000": 3, "4": 5}),
        ((1, (2, [3])), [1, [2, [3]]]),
        ({3, 1, 2}, [1, 2, 3]),
        ("x" * 3_000, "x" * 1_999 + "…"),
    ],
)
def test_values_come_back_as_they_were_hashed(alice: Principal, value: Any, read: Any) -> None:
    assert stored(alice, data={"value": value}).data == {"value": read}


@pytest.mark.parametrize("value", [b"bytes", object(), Principal])
def test_what_has_no_plain_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        audit_content.data({"value": value})


def test_data_nested_too_deep_is_refused() -> None:
    deep: Any = "x"
    for _ in range(audit_content.MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(ValueError, match="too deep"):
        audit_content.data({"deep": deep})


def test_secrets_are_blotted_out(alice: Principal) -> None:
    told = {"password": "hunter2", "api_key": "abc", "note": "Bearer abcdefghijkl", "prefix": "sk-sb-0123456789"}
    assert stored(alice, data=told).data == {
        "password": "[redacted]",
        "api_key": "[redacted]",
        "note": "Bearer [redacted]",
        "prefix": "sk-sb-0123456789",
    }


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.dictionaries(
        st.text(st.characters(exclude_categories=()), max_size=8),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(st.characters(exclude_categories=()), max_size=12),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=4), inner, max_size=3)
            ),
            max_leaves=8,
        ),
        max_size=4,
    ),
    actor=st.text(st.characters(exclude_categories=()), max_size=300),
    target=st.text(st.characters(exclude_categories=()), max_size=80),
)
def test_whatever_is_told_can_be_proven(alice: Principal, data: dict[str, Any], actor: str, target: str) -> None:
    with tenant_scope(alice.tenant_id):
        audit.record(
            alice.tenant_id, audit.Actor(None, actor, "job"), "thing.done", target=("thing", target), data=data
        )
    assert walk(alice.tenant_id).broken is None


@pytest.mark.parametrize(
    ("given", "stored_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::192.0.2.7", "::c000:207"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("unix:", None),
        ("192.0.2.7, 10.0.0.1", None),
    ],
)
def test_addresses_have_one_spelling(alice: Principal, given: str, stored_as: str | None) -> None:
    token = audit.address.set(given)
    try:
        entry = stored(alice)
    finally:
        audit.address.reset(token)
    assert audit_content.address(entry.address) == stored_as
    assert stored_as is None or entry.address is not None
    assert stored_as is None or ip_address(str(entry.address)) == ip_address(stored_as)


def test_moments_are_told_to_the_microsecond() -> None:
    assert audit_content.moment(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000000+00:00"
