"""`.env`: lines of KEY=VALUE. What the real environment says wins."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path


def parse(text: str) -> dict[str, str]:
    """Settings of a `.env` text. Raises ValueError naming the line that is not KEY=VALUE."""
    values = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip().removeprefix("export ").strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key.isidentifier():
            raise ValueError(f"line {number} of .env is not KEY=VALUE: {raw!r}")
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        else:
            value = value.partition(" #")[0].rstrip()
        values[key] = value
    return values


def merged(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment with the file's settings below it. An empty setting counts as absent, in either."""
    settings: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError):
        settings = parse(path.read_text())
    return {key: value for source in (settings, environ) for key, value in source.items() if value}
