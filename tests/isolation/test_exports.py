"""What leaves as a file: each export holds its tenant's own, whatever is asked for and whoever exports beside it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.core.management import call_command

from apps.accounts.models import User
from apps.tenants import audit, audit_log
from apps.tenants.models import Tenant
from apps.tenants.scope import tenant_scope
from tests.isolation import surface
from tests.isolation.attack import Ground
from tests.isolation.product import DOWNLOAD_SECONDS, Answer, Call, give_back_connections
from tests.isolation.world import Side

REST, FORM = "/api/v1/audit/export/", "/settings/workspace/audit/export/"
CODES = "/account/second-factor/recovery-codes/download/"


def exports(side: Side) -> Iterator[Call]:
    """Every way to the log as a file."""
    for kind in ("jsonl", "csv"):
        for credential in ("key", "token", "session"):
            yield side.call("GET", REST, credential, query={"file": kind})
        yield side.call("POST", FORM, "session", form={"file": kind})


def owns(side: Side, other: Side, answer: Answer, told: str) -> None:
    assert answer.status == 200, f"{told}: {answer.status}"
    assert side.canary.encode() in answer.told, f"{told}: {side.name} misses its own"
    for foreign in (other.canary, str(other.principal.tenant_id), str(other.principal.user_id)):
        assert foreign.encode() not in answer.told, f"{told}: {side.name} got what is {other.name}'s"


@pytest.fixture
def long_logs(ground: type[Ground], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have more entries than one batch holds."""
    monkeypatch.setattr(audit_log, "EXPORT_BATCH", 5)
    for side in (ground.victim, ground.attacker):
        with tenant_scope(side.principal.tenant_id):
            for number in range(12):
                actor = audit.Actor.of(side.principal)
                audit.record(side.principal.tenant_id, actor, "canary.sung", data={"text": f"{side.canary} {number}"})
    give_back_connections()


def test_every_way_out_is_known() -> None:
    """A later export fails here until it is attacked, too."""
    found = {route.template for route in surface.routes() if re.search("export|download", route.template)}
    assert found == {REST, FORM, CODES}


def test_exports_at_once_on_one_connection_hold_their_own(ground: type[Ground], long_logs: None) -> None:
    calls = [pair for both in zip(exports(ground.victim), exports(ground.attacker), strict=True) for pair in both]
    # A file is heard to its end, however many wait for the one connection.
    answers = ground.product.call(*calls, hang_up_seconds=DOWNLOAD_SECONDS)
    for call, own, other in zip(calls[::2], answers[::2], answers[1::2], strict=True):
        owns(ground.victim, ground.attacker, own, call.path)
        owns(ground.attacker, ground.victim, other, call.path)
        assert own.told.count(f"{ground.victim.canary} 1".encode()) >= 3, "several batches"


def test_no_filter_reaches_another_tenants_entries(ground: type[Ground], long_logs: None) -> None:
    theirs = ground.victim
    filters = [
        {"actor": str(theirs.principal.user_id)},
        {"target": f"tenant:{theirs.principal.tenant_id}"},
        {"tenant_id": str(theirs.principal.tenant_id), "tenant": str(theirs.principal.tenant_id)},
        {"action": "canary.sung", "before": "999999"},
    ]
    for query in filters:
        for path in (REST, "/api/v1/audit/", "/settings/workspace/audit/"):
            credential = "session" if path.startswith("/settings") else "key"
            own, other = ground.product.call(
                theirs.call("GET", path, credential, query=query),
                ground.attacker.call("GET", path, credential, query=query),
            )
            assert (own.status, other.status) == (200, 200), (path, query)
            assert b"canary.sung" in own.told or b"Canary sung" in own.told or "target" in query, (path, query)
            assert theirs.canary.encode() not in other.told, (path, query)


def test_the_operators_export_names_one_tenant(ground: type[Ground], long_logs: None, tmp_path: Path) -> None:
    for side, other in ((ground.victim, ground.attacker), (ground.attacker, ground.victim)):
        file = tmp_path / side.name
        slug = Tenant.objects.using("engine").get(id=side.principal.tenant_id).slug
        call_command("export_audit", "--tenant", slug, "--out", str(file))
        give_back_connections()
        told = file.read_text()
        assert f"{side.canary} 11" in told and f"{other.canary} 1" not in told


def test_recovery_codes_are_given_to_their_person_alone(ground: type[Ground]) -> None:
    codes = RecoveryCodes.activate(User.objects.get(id=ground.victim.principal.user_id)).get_unused_codes()
    give_back_connections()
    own, other, colleague = ground.product.call(
        ground.victim.call("GET", CODES, "desk"),
        ground.attacker.call("GET", CODES, "desk"),
        ground.colleague.call("GET", CODES, "desk"),
    )
    assert own.status == 200 and all(code.encode() in own.told for code in codes)
    assert not any(code.encode() in answer.told for code in codes for answer in (other, colleague))
    Authenticator.objects.filter(
        user_id=ground.victim.principal.user_id, type=Authenticator.Type.RECOVERY_CODES
    ).delete()
    give_back_connections()
