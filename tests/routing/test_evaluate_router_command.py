"""`manage.py evaluate_router`: the table it prints, and the evidence without which routing by difficulty stays off."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.routing import selectors
from apps.routing.models import RoutingPolicy
from apps.tenants.contracts import Principal
from apps.tenants.models import AuditEntry, Tenant

HARD = "Prove step by step that $n^2 \\ge 0$, compare two proofs and analyse both; it must be exact"


@pytest.fixture
def slug(alice: Principal) -> str:
    """The slug of Alice's tenant, which has a policy “sort” by difficulty."""
    RoutingPolicy.objects.using("engine").create(
        tenant_id=alice.tenant_id, slug="sort", name="Sort", kind=RoutingPolicy.Kind.AUTO
    )
    selectors.invalidate()
    return Tenant.objects.using("engine").get(id=alice.tenant_id).slug


def _file(folder: Path, *, hard_needs_strong: bool) -> Path:
    """Sixty graded questions, of which every third looks hard."""
    rows = [
        {
            "question": HARD if looks_hard else "Hello there",
            "cheap": 0 if looks_hard is hard_needs_strong else 1,
            "strong": 1,
        }
        for looks_hard in (number % 3 == 0 for number in range(60))
    ]
    path = folder / "graded.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def _run(path: Path, slug: str, *more: str, policy: str = "sort") -> str:
    out = StringIO()
    call_command("evaluate_router", str(path), "--tenant", slug, "--policy", policy, *more, stdout=out)
    return out.getvalue()


def test_evidence_puts_the_policy_on_offer_for_its_tenant_alone(
    alice: Principal, mallory: Principal, slug: str, tmp_path: Path
) -> None:
    path = _file(tmp_path, hard_needs_strong=True)
    table = _run(path, slug)
    assert "60 questions" in table
    assert "oracle" in table
    assert "At the threshold 50, 33% of the questions go to the strong model and 100% of the gap" in table
    assert "sort" not in selectors.catalogue(alice.tenant_id).policies, "looking is not storing"
    assert "is on for" in _run(path, slug, "--store")
    assert "sort" in selectors.catalogue(alice.tenant_id).policies
    assert "sort" not in selectors.catalogue(mallory.tenant_id).policies
    entry = AuditEntry.objects.using("engine").get(tenant_id=alice.tenant_id, action="policy.evaluated")
    assert entry.data["questions"] == 60


def test_what_is_no_better_than_lots_is_not_stored(alice: Principal, slug: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no better than drawing lots"):
        _run(_file(tmp_path, hard_needs_strong=False), slug, "--store")
    assert "sort" not in selectors.catalogue(alice.tenant_id).policies


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1 is not JSON"),
        ('{"question": "a", "cheap": 1}', "question 1: needs"),
        ('{"question": "a", "cheap": "x", "strong": 1}', "question 1: needs"),
        ('{"question": "a", "cheap": "nan", "strong": 1}', "not finite"),
        ('{"question": "a", "cheap": 0, "strong": 1}', "at least 50"),
    ],
)
def test_a_file_that_is_refused(slug: str, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "graded.jsonl"
    path.write_text(text)
    with pytest.raises(CommandError, match=says):
        _run(path, slug)


def test_names_that_do_not_exist(slug: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no policy"):
        _run(tmp_path / "none", slug, policy="other")
    with pytest.raises(CommandError, match="no tenant"):
        _run(tmp_path / "none", "nobody")
    with pytest.raises(CommandError, match="cannot be read"):
        _run(tmp_path / "none.csv", slug)


def test_a_table_of_comma_separated_values_is_read_too(slug: str, tmp_path: Path) -> None:
    path = tmp_path / "graded.csv"
    path.write_text("question,cheap,strong\n" + '"Hello\nyou",1,1\n' * 40 + f'"{HARD}",0,1\n' * 20)
    told = _run(path, slug)
    assert "60 questions" in told
    # Only the hard ones gain, so their score is the threshold for every goal.
    assert "recovers 50% with 33% of the questions" in told
    assert "recovers 80% with 33% of the questions" in told
