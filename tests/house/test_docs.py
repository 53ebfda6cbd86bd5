"""The documentation keeps up with the code: settings, commands, links, and the names compose.yaml uses."""

import re
from pathlib import Path

import pytest
import yaml

from chatproject.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
# Explained beside the settings, but read by the one-machine runner alone.
OF_THE_RUNNER = {"PORT", "HOST", "WEB_SERVER", "DATABASE_ADMIN_URL"}
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def settings() -> set[str]:
    return {name.upper() for name in Environment.model_fields}


def explained() -> dict[str, list[str]]:
    """Each setting of .env.example, with the comment lines over it; neighbours may share them."""
    found: dict[str, list[str]] = {}
    comments: list[str] = []
    after_setting = False
    for line in (ROOT / ".env.example").read_text().splitlines():
        setting = re.match(r"([A-Z][A-Z0-9_]*)=", line)
        if setting:
            found[setting[1]] = comments
        elif not line.startswith("#") or line.startswith("# ---"):
            comments = []
        else:
            comments = [*([] if after_setting else comments), line.lstrip("# ")]
        after_setting = setting is not None
    return found


def prose(page: Path) -> str:
    """A page without its code, in which brackets mean other things."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """The fragments that headings of a page can be reached by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_setting_is_explained() -> None:
    assert len(settings()) > 20
    assert settings() - explained().keys() == set()
    assert [name for name, comments in explained().items() if not comments] == []


def test_everything_explained_is_a_setting() -> None:
    assert explained().keys() - settings() == OF_THE_RUNNER


def test_the_runner_reads_what_is_said_to_be_its_own() -> None:
    runner = "".join(path.read_text() for path in (ROOT / "onebox").glob("*.py"))
    assert [name for name in sorted(OF_THE_RUNNER) if f'"{name}"' not in runner] == []


def test_commands_and_operations_name_the_same() -> None:
    folders = [*ROOT.glob("apps/*/management/commands"), ROOT / "chatproject/management/commands"]
    commands = {path.stem for folder in folders for path in folder.glob("*.py") if path.stem != "__init__"}
    # What manage.py takes itself, before Django is there.
    commands |= set(re.findall(r'sys\.argv\[1:2\] == \["(\w+)"\]', (ROOT / "manage.py").read_text()))
    assert {"doctor", "create_tenant", "dev"} <= commands
    assert set(re.findall(r"`manage\.py (\w+)", (ROOT / "docs/operations.md").read_text())) == commands


def test_every_metric_is_named_in_operations() -> None:
    metrics = set(re.findall(r'"(switchboard_\w+)"', (ROOT / "apps/observability/metrics.py").read_text()))
    named = set(re.findall(r"`(switchboard_\w+)`", (ROOT / "docs/operations.md").read_text()))
    # The database's roles and the metrics share their first word.
    assert metrics == {name for name in named if name not in {f"switchboard_{r}" for r in ("owner", "app", "engine")}}


@pytest.mark.parametrize("document", PAGES, ids=lambda document: str(document.relative_to(ROOT)))
def test_links_and_images_lead_somewhere(document: Path) -> None:
    broken: list[str] = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        path, _, fragment = target.partition("#")
        if "://" in path:
            continue
        there = (document.parent / path).resolve() if path else document
        if not there.exists() or (fragment and fragment not in anchors(there)):
            broken.append(target)
    assert broken == []


def test_every_decision_is_listed_once() -> None:
    records = sorted(path.name for path in (ROOT / "docs/adr").glob("0*.md"))
    listed = re.findall(r"\]\((0[^)]+)\)", (ROOT / "docs/adr/README.md").read_text())
    assert records == listed
    assert [int(name[:4]) for name in records] == list(range(1, len(records) + 1))


def test_compose_sets_nothing_that_nobody_reads() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    ours = {name: service["environment"] for name, service in services.items() if service["image"] == "switchboard"}
    assert {"bootstrap", "migrate", "web", "worker", "beat"} <= ours.keys()
    unknown = {name: set(environment) - settings() - OF_THE_RUNNER for name, environment in ours.items()}
    assert {name: names for name, names in unknown.items() if names} == {}
    required = {name.upper() for name, field in Environment.model_fields.items() if field.is_required()}
    served = [name for name in ("migrate", "web", "worker", "beat", "demo") if required - set(ours[name])]
    assert served == []


def test_only_what_prepares_the_database_knows_its_owner() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    knowing = {name for name, service in services.items() if "DATABASE_OWNER_URL" in service.get("environment", {})}
    assert knowing == {"bootstrap", "migrate"}


def test_compose_asks_for_what_its_helper_prints() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "compose.yaml").read_text()))
    helper = (ROOT / "deploy/make-env.sh").read_text()
    printed = set(re.findall(r"^([A-Z_]+)=", helper, flags=re.MULTILINE))
    listed = re.findall(r"for name in ([A-Z_ ]+);", helper)
    assert len(listed) == 2
    assert asked - printed - set(" ".join(listed).split()) == {"LOG_LEVEL"}
