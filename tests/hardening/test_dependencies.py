"""What the audit of locked packages makes of a report, and of no answer."""

import pytest

from tests import dependencies

REPORT = {
    "dependencies": [
        {"name": "sound", "version": "1.0", "vulns": []},
        {
            "name": "holed",
            "version": "2.0",
            "vulns": [{"id": "PYSEC-2020-1", "aliases": ["CVE-2020-1"], "fix_versions": ["2.1"]}],
        },
        {"name": "skipped", "skip_reason": "not on the index"},
    ]
}


def test_a_hole_is_told_with_its_repair() -> None:
    assert dependencies.told(REPORT, "r.txt") == ["r.txt: holed 2.0: PYSEC-2020-1, repaired in 2.1"]


def test_an_accepted_hole_is_known_by_any_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "ACCEPTED", {"CVE-2020-1": "not called"})
    assert dependencies.told(REPORT, "r.txt") == []


def test_a_hole_fails_and_a_closed_network_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dependencies, "audited", lambda path: REPORT)
    assert dependencies.main() == 1
    # A mirror that knows of no hole anywhere, and no answer at all.
    monkeypatch.setattr(dependencies, "audited", lambda path: {"dependencies": []})
    assert dependencies.main() == 0
    assert "NOT AUDITED" in capsys.readouterr().out
    monkeypatch.setattr(dependencies, "audited", lambda path: None)
    assert dependencies.main() == 0
    assert "NOT AUDITED" in capsys.readouterr().out


def test_a_list_that_cannot_be_read_is_no_closed_network() -> None:
    assert dependencies.unreachable("requests.exceptions.ConnectionError: refused")
    assert not dependencies.unreachable("ERROR: requirement has no hash")
