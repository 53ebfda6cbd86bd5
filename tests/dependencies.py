"""Fails on a locked package with a known hole. Where the advisory service cannot be reached, says so and lets pass.

What is listed in `ACCEPTED` is known and does not concern us; each entry says why.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ("requirements.txt", "requirements-dev.txt")
PATIENCE_SECONDS = 60
HOLED = "django==3.2.0"
# Advisory -> why it does not concern us.
ACCEPTED: dict[str, str] = {}


def main() -> int:
    if not service_knows_holes():
        print("!" * 100)
        print("NOT AUDITED: no advisory service answers that knows holes. Known ones would not be noticed here.")
        print("!" * 100)
        return 0
    holes = [line for name in LOCKED for line in told(audited(ROOT / name) or {"dependencies": []}, name)]
    for line in holes:
        print(line)
    return 1 if holes else 0


def service_knows_holes() -> bool:
    """Some package mirrors answer for every version that it has no hole: asked about one that has many, they give
    themselves away."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "requirements.txt"
        path.write_text(f"{HOLED} --hash=sha256:{0:064d}\n")
        report = audited(path)
        return report is not None and told(report, HOLED) != []


def audited(path: Path) -> dict[str, Any] | None:
    """pip-audit's report on a locked list, None where the service cannot be reached. Nothing is installed."""
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--no-deps", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", "10", "-r", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        if unreachable(done.stderr):
            return None
        raise SystemExit(f"pip-audit could not read {path.name}:\n{done.stderr[-2000:]}") from None
    return dict(report)


def unreachable(errors: str) -> bool:
    """Whether pip-audit failed for want of a network, and not for what it was given."""
    signs = ("ConnectionError", "ServiceError", "Could not connect", "timed out", "ProxyError", "HTTPError")
    return any(sign in errors for sign in signs)


def told(report: dict[str, Any], name: str) -> list[str]:
    """One line for each hole that is not accepted."""
    lines = []
    for package in report["dependencies"]:
        for hole in package.get("vulns", ()):
            if not ACCEPTED.keys() & {hole["id"], *hole["aliases"]}:
                repaired = ", ".join(hole["fix_versions"]) or "no version yet"
                lines.append(f"{name}: {package['name']} {package['version']}: {hole['id']}, repaired in {repaired}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
