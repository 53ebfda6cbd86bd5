"""Fails on a locked package with a known hole. Where the advisory service cannot be reached, says so and lets pass.

What is listed in `ACCEPTED` is known and does not concern us; each entry says why.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKED = ("requirements.txt", "requirements-dev.txt")
PATIENCE_SECONDS = 60
# Advisory -> why it does not concern us.
ACCEPTED: dict[str, str] = {}


def main() -> int:
    holes: list[str] = []
    for name in LOCKED:
        found = audited(ROOT / name)
        if found is None:
            print("!" * 100)
            print(
                f"NOT AUDITED: {name}. The advisory service did not answer, so known holes would not be noticed here."
            )
            print("!" * 100)
            return 0
        holes += told(found, name)
    for line in holes:
        print(line)
    return 1 if holes else 0


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
