"""The chain of audit entries: exact under concurrency, and every kind of tampering has its name."""

import threading
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connections, transaction

from apps.tenants import audit
from apps.tenants.audit_chain import Fault, Walked, walk
from apps.tenants.audit_content import digest
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry
from apps.tenants.scope import tenant_scope
from tests.tenants.tampering import entry_of, rehash, renumber, tamper

THREADS, EACH = 8, 25


def write(principal: Principal, count: int) -> None:
    with tenant_scope(principal.tenant_id):
        for number in range(count):
            audit.record(principal.tenant_id, audit.Actor.of(principal), "thing.done", data={"number": number})


def length(tenant_id: UUID) -> int:
    return AuditEntry.objects.using("engine").filter(tenant_id=tenant_id).count()


def broken(principal: Principal) -> tuple[int, Fault] | None:
    found = walk(principal.tenant_id).broken
    return (found.seq, found.fault) if found is not None else None


@pytest.fixture
def ten(alice: Principal) -> Principal:
    """Alice, with ten entries in her tenant's chain: the first says that it was opened."""
    write(alice, 9)
    assert walk(alice.tenant_id).entries == 10
    return alice


def test_entries_follow_each_other_from_one(alice: Principal) -> None:
    write(alice, 3)
    found = list(AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id).order_by("seq"))
    assert [entry.seq for entry in found] == [1, 2, 3, 4]
    assert bytes(found[0].previous_hash) == audit.GENESIS
    assert [bytes(entry.previous_hash) for entry in found[1:]] == [bytes(entry.hash) for entry in found[:-1]]
    assert [digest(entry) for entry in found] == [bytes(entry.hash) for entry in found]
    assert sorted(entry.at for entry in found) == [entry.at for entry in found]
    assert walk(alice.tenant_id) == Walked(4, bytes(found[-1].hash))


def test_writers_on_both_roles_leave_no_hole(alice: Principal) -> None:
    before, failures = length(alice.tenant_id), []

    def as_app(number: int) -> None:
        with tenant_scope(alice.tenant_id):
            audit.record(alice.tenant_id, audit.Actor.of(alice), "thing.done", data={"number": number})

    def as_engine(number: int) -> None:
        with transaction.atomic(using="engine"):
            audit.record(alice.tenant_id, audit.Actor.job("test"), "thing.done", data={"n": number}, using="engine")

    def run(write_one: Callable[[int], None]) -> None:
        try:
            for number in range(EACH):
                write_one(number)
        except Exception as error:
            failures.append(error)
        finally:
            for connection in connections.all(initialized_only=True):
                connection.close()

    threads = [threading.Thread(target=run, args=((as_app, as_engine)[n % 2],)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    numbers = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id).order_by("seq")
    assert list(numbers.values_list("seq", flat=True)) == list(range(1, before + THREADS * EACH + 1))
    found = walk(alice.tenant_id)
    assert (found.entries, found.broken) == (before + THREADS * EACH, None)
    times = list(numbers.values_list("at", flat=True))
    assert times == sorted(times), "one clock, read while the chain is held"


def test_a_change_that_is_undone_leaves_neither_entry_nor_hole(alice: Principal) -> None:
    with pytest.raises(ZeroDivisionError), tenant_scope(alice.tenant_id):
        audit.record(alice.tenant_id, audit.Actor.of(alice), "thing.undone")
        _ = 1 / 0
    write(alice, 1)
    found = AuditEntry.objects.using("engine").filter(tenant_id=alice.tenant_id)
    assert list(found.order_by("seq").values_list("seq", "action")) == [(1, "tenant.opened"), (2, "thing.done")]
    assert broken(alice) is None


def test_an_entry_belongs_to_a_transaction_in_its_own_tenants_scope(alice: Principal, mallory: Principal) -> None:
    actor = audit.Actor.of(mallory)
    with pytest.raises(RuntimeError, match="transaction"):
        audit.record(mallory.tenant_id, actor, "thing.done")
    with pytest.raises(RuntimeError, match="engine"), tenant_scope(mallory.tenant_id):
        audit.record(None, actor, "thing.done")
    with pytest.raises(DatabaseError), tenant_scope(mallory.tenant_id):
        audit.record(alice.tenant_id, actor, "thing.forged")
    assert length(alice.tenant_id) == 1


def test_the_installations_own_chain_is_written_as_engine() -> None:
    mark = uuid4()
    with transaction.atomic(using="engine"):
        audit.record(None, audit.Actor.command("test"), "thing.done", target=("thing", mark), using="engine")
    entry = AuditEntry.objects.using("engine").get(target_id=str(mark))
    assert (entry.tenant_id, entry.via) == (None, "command")
    assert walk(None).broken is None


def test_changed_content_is_named(ten: Principal) -> None:
    for column, value in (("actor", "somebody@example.org"), ("action", "thing.left"), ("address", "192.0.2.9")):
        before = getattr(entry_of(ten.tenant_id, 4), column)
        statement = f"UPDATE tenants_auditentry SET {column} = %s WHERE tenant_id = %s AND seq = 4"
        tamper(statement, value, ten.tenant_id)  # type: ignore[arg-type]
        assert broken(ten) == (4, Fault.CHANGED), column
        tamper(statement, before, ten.tenant_id)  # type: ignore[arg-type]
        assert broken(ten) is None
    tamper("UPDATE tenants_auditentry SET data = '{\"number\": 1e400}' WHERE tenant_id = %s AND seq = 6", ten.tenant_id)
    assert broken(ten) == (6, Fault.CHANGED)


def test_an_entry_written_anew_with_its_hash_is_named(ten: Principal) -> None:
    tamper("UPDATE tenants_auditentry SET actor = 'x' WHERE tenant_id = %s AND seq = 5", ten.tenant_id)
    rehash(ten.tenant_id, 5)
    assert broken(ten) == (6, Fault.REPLACED)


def test_missing_entries_are_named(ten: Principal) -> None:
    tamper("DELETE FROM tenants_auditentry WHERE tenant_id = %s AND seq IN (7, 8)", ten.tenant_id)
    found = walk(ten.tenant_id)
    assert found.broken is not None
    assert (found.entries, found.broken.seq, found.broken.told) == (6, 7, "entries 7 to 8 are missing")
    renumber(ten.tenant_id, after=6, by=-2)
    assert broken(ten) == (7, Fault.MISSING)


def test_a_missing_beginning_is_named(ten: Principal) -> None:
    tamper("DELETE FROM tenants_auditentry WHERE tenant_id = %s AND seq = 1", ten.tenant_id)
    assert broken(ten) == (1, Fault.MISSING)


def test_an_inserted_entry_is_named(ten: Principal) -> None:
    renumber(ten.tenant_id, after=4, by=1)
    before = entry_of(ten.tenant_id, 4)
    forged = AuditEntry(
        id=uuid4(), tenant_id=ten.tenant_id, seq=5, at=before.at, actor="eve", via="session", action="thing.forged"
    )
    forged.previous_hash = bytes(before.hash)
    forged.hash = digest(forged)
    forged.save(using="engine", force_insert=True)
    assert broken(ten) == (5, Fault.INSERTED)


def test_reordered_entries_are_named(ten: Principal) -> None:
    for statement in (
        "UPDATE tenants_auditentry SET seq = 1000 WHERE tenant_id = %s AND seq = 3",
        "UPDATE tenants_auditentry SET seq = 3 WHERE tenant_id = %s AND seq = 4",
        "UPDATE tenants_auditentry SET seq = 4 WHERE tenant_id = %s AND seq = 1000",
    ):
        tamper(statement, ten.tenant_id)  # type: ignore[arg-type]
    assert broken(ten) == (3, Fault.REORDERED)


@pytest.mark.parametrize("alias", ["default", "engine", "owner"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE tenants_auditentry SET actor = 'x'", "DELETE FROM tenants_auditentry", "TRUNCATE tenants_auditentry"],
)
def test_no_role_changes_or_removes_an_entry(ten: Principal, alias: str, statement: str) -> None:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant_id', %s, true)", [str(ten.tenant_id)])
        cursor.execute(statement)
    told = str(caught.value)
    assert ("only ever appended to" if alias == "owner" else "permission denied") in told
    assert broken(ten) is None


def test_the_guard_holds_where_a_role_was_granted_too_much(ten: Principal) -> None:
    tamper("GRANT UPDATE, DELETE ON tenants_auditentry TO switchboard_app")
    try:
        for statement in ("UPDATE tenants_auditentry SET actor = 'x'", "DELETE FROM tenants_auditentry"):
            with (
                pytest.raises(DatabaseError, match="only ever appended to"),
                tenant_scope(ten.tenant_id),
                connections["default"].cursor() as cursor,
            ):
                cursor.execute(statement)
    finally:
        tamper("REVOKE UPDATE, DELETE ON tenants_auditentry FROM switchboard_app")
    assert broken(ten) is None
