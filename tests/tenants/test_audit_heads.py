"""Heads written outside of the database: they show what a chain by itself cannot."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from apps.tenants import audit, audit_heads
from apps.tenants.audit_chain import Fault, walk
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Tenant
from apps.tenants.scope import tenant_scope
from apps.tenants.tasks import write_audit_heads
from chatproject.celery import app
from tests.tenants.tampering import rehash, tamper


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Iterator[Path]:
    with override_settings(AUDIT_HEADS_DIR=tmp_path / "heads"):
        yield tmp_path / "heads"


def write(principal: Principal, count: int = 1) -> None:
    with tenant_scope(principal.tenant_id):
        for _ in range(count):
            audit.record(principal.tenant_id, audit.Actor.of(principal), "thing.done")


def slug_of(principal: Principal) -> str:
    return Tenant.objects.using("engine").get(id=principal.tenant_id).slug


def verified(principal: Principal, *arguments: str) -> str:
    out = io.StringIO()
    call_command("verify_audit", "--tenant", slug_of(principal), *arguments, stdout=out, no_color=True)
    return out.getvalue()


def refused(principal: Principal, *arguments: str) -> str:
    """What a failing verification prints, with its last word."""
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("verify_audit", "--tenant", slug_of(principal), *arguments, stdout=out, no_color=True)
    assert caught.value.returncode == 1
    return out.getvalue() + str(caught.value)


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path


def lines_of(path: Path, principal: Principal) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if line["chain"] == str(principal.tenant_id)]


def test_heads_that_moved_are_written_and_fit_the_chain(alice: Principal, folder: Path) -> None:
    write_audit_heads()
    write(alice, 2)
    audit_heads.write_heads()
    audit_heads.write_heads()
    path = only_file(folder)
    assert [line["seq"] for line in lines_of(path, alice)] == [1, 3]
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert "3 sound entries in 1 chains, compared with" in verified(alice, "--heads")
    assert "3 sound entries" in verified(alice, "--head", str(path))
    entry = AuditEntry.objects.using("engine").get(tenant_id=alice.tenant_id, seq=3)
    assert f"Head: 3 {bytes(entry.hash).hex()}" in verified(alice)


def test_a_chain_cut_short_is_sound_in_itself_and_the_heads_tell(alice: Principal, folder: Path) -> None:
    write(alice, 4)
    audit_heads.write_heads()
    tamper("DELETE FROM tenants_auditentry WHERE tenant_id = %s AND seq > 3", alice.tenant_id)
    assert "3 sound entries" in verified(alice)
    assert "broken at 4 (truncated)" in refused(alice, "--heads")
    write(alice, 2)
    assert "broken at 5 (rewritten)" in refused(alice, "--heads"), "grown again to the same length"


def test_a_chain_written_anew_is_sound_in_itself_and_the_heads_tell(alice: Principal) -> None:
    write(alice, 3)
    audit_heads.write_heads()
    tamper("UPDATE tenants_auditentry SET actor = 'somebody else' WHERE tenant_id = %s AND seq = 2", alice.tenant_id)
    for seq in (2, 3, 4):
        rehash(alice.tenant_id, seq)
        tamper(
            "UPDATE tenants_auditentry n SET previous_hash = p.hash FROM tenants_auditentry p WHERE n.tenant_id = %s "
            "AND p.tenant_id = n.tenant_id AND p.seq = %s AND n.seq = p.seq + 1",
            alice.tenant_id,
            seq,
        )
    assert walk(alice.tenant_id).broken is None
    assert "broken at 4 (rewritten)" in refused(alice, "--heads")


def test_a_chain_that_is_gone_with_its_tenant_is_told(alice: Principal) -> None:
    write(alice)
    audit_heads.write_heads()
    known = audit_heads.read_heads(audit_heads.files())
    tamper("DELETE FROM tenants_auditentry WHERE tenant_id = %s", alice.tenant_id)
    broken = walk(alice.tenant_id, known.chains[str(alice.tenant_id)]).broken
    assert broken is not None
    assert (broken.seq, broken.fault) == (1, Fault.TRUNCATED)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('"seq":', '"seq":1', "the signature is not right"),
        ('"signature":"', '"signature":"00', "the signature is not right"),
        ('{"chain"', '{"chian"', "not a head"),
        ('"key":"', '"key":"0', "which is not known here"),
    ],
)
def test_a_changed_line_is_told(alice: Principal, folder: Path, before: str, after: str, told: str) -> None:
    audit_heads.write_heads()
    path = only_file(folder)
    path.write_text(path.read_text().replace(before, after, 1))
    assert told in refused(alice, "--heads")
    assert "1 of" in refused(alice, "--heads") or "2 of" in refused(alice, "--heads")


def test_a_removed_line_is_told(alice: Principal, folder: Path) -> None:
    for _ in range(3):
        write(alice)
        audit_heads.write_heads()
    path = only_file(folder)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2] + lines[-1:]))
    assert "does not follow the line before it" in refused(alice, "--heads")


def test_a_line_cut_short_by_a_crash_is_dropped(alice: Principal, folder: Path) -> None:
    audit_heads.write_heads()
    path = only_file(folder)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"chain":"')
    assert "sound entries" in verified(alice, "--heads")
    write(alice)
    audit_heads.write_heads()
    assert path.read_bytes().startswith(whole + b'{"chain":')
    assert [line["seq"] for line in lines_of(path, alice)] == [1, 2]
    assert "2 sound entries" in verified(alice, "--heads")


def test_a_new_month_begins_with_every_head_and_old_months_go(alice: Principal, folder: Path) -> None:
    audit_heads.write_heads()
    only_file(folder).rename(folder / "heads-2020-01.jsonl")
    for month in ("2020-02", "2020-03"):
        (folder / f"heads-{month}.jsonl").write_bytes((folder / "heads-2020-01.jsonl").read_bytes())
    (folder / "heads-2020-01.jsonl").write_bytes(b"")
    with override_settings(AUDIT_HEADS_MONTHS=2):
        audit_heads.write_heads()
    kept = audit_heads.files()
    assert [path.name for path in kept][:1] == ["heads-2020-03.jsonl"]
    assert len(kept) == 2
    assert [line["seq"] for line in lines_of(kept[-1], alice)] == [1]
    assert audit_heads.read_heads(kept).faults == (), "each month follows the one before"


def test_heads_outlive_a_change_of_the_key_that_signs(alice: Principal, folder: Path) -> None:
    audit_heads.write_heads()
    earlier = audit_heads.public_key()
    with override_settings(AUDIT_SIGNING_KEY="another key"):
        assert audit_heads.public_key() != earlier
        assert "which is not known here" in refused(alice, "--heads")
        assert "sound entries" in verified(alice, "--heads", "--public-key", earlier)
        with override_settings(AUDIT_PUBLIC_KEYS=(earlier,)):
            assert "sound entries" in verified(alice, "--heads")
    out = io.StringIO()
    call_command("write_audit_heads", "--public-key", stdout=out)
    assert out.getvalue().strip() == earlier


def test_wrong_usage(alice: Principal, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No heads were written"):
        call_command("verify_audit", "--heads")
    for arguments in (("--tenant", "nobody"), ("--head", str(tmp_path / "none")), ("--public-key", "xyz")):
        with pytest.raises(CommandError) as caught:
            call_command("verify_audit", *arguments, stdout=io.StringIO())
        assert caught.value.returncode == 2


def test_a_report_for_programs(alice: Principal) -> None:
    write(alice, 2)
    assert json.loads(verified(alice, "--json"))["chains"][str(alice.tenant_id)]["entries"] == 3
    tamper("UPDATE tenants_auditentry SET via = 'x' WHERE tenant_id = %s AND seq = 2", alice.tenant_id)
    report = json.loads(refused(alice, "--json").splitlines()[0])
    assert report["chains"][str(alice.tenant_id)]["broken"]["fault"] == "changed"


def test_the_clock_knows_the_task() -> None:
    app.loader.import_default_modules()
    entry = app.conf.beat_schedule["write-audit-heads"]
    assert entry["task"] in app.tasks
    assert entry["task"] == write_audit_heads.name
