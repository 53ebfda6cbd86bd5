"""Fails on a `.pth` file in the virtual environment that no package we know brings: such files run at every start."""

import sys
import sysconfig
from pathlib import Path

# coverage measures subprocesses through one, setuptools keeps distutils working through another.
KNOWN = {"a1_coverage.pth", "distutils-precedence.pth"}


def main() -> int:
    unexpected = sorted(
        path.name for path in Path(sysconfig.get_path("purelib")).glob("*.pth") if path.name not in KNOWN
    )
    if unexpected:
        print(f"unexpected start-up files: {', '.join(unexpected)}")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
