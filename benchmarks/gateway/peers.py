"""The others' gateways: installed once, in pinned versions, into a folder outside the repository, and started there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.gateway.shapes import SHAPES
from benchmarks.gateway.targets import JSON, PATH, SIMULATED, LeftOut, Places, Target, running
from onebox.network import http_ready, kept_port
from onebox.process import Process

LITELLM, PORTKEY = "1.106.2", "1.15.2"
CACHE_VARIABLE = "BENCH_CACHE"
_LISTS = Path(__file__).with_name("peers")
_INSTALL_SECONDS = 1_200
_MASTER_KEY = "sk-bench"


def cache_folder() -> Path:
    """Where installed things are kept; BENCH_CACHE names another."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(CACHE_VARIABLE) or f"{base}/switchboard-bench").expanduser()


@contextmanager
def litellm(places: Places) -> Iterator[Target]:
    """LiteLLM's proxy as its own page on production says, but without a database: so without limits and ledger."""
    folder = SET_UPS["litellm"](places.cache)
    port = kept_port(places.folder / "litellm-port")
    url = f"http://127.0.0.1:{port}"
    configuration = {
        "model_list": [
            {
                "model_name": shape.model,
                "litellm_params": {
                    "model": f"openai/{shape.model}",
                    "api_base": f"{places.upstream_url}/v1",
                    "api_key": "simulated",
                },
            }
            for shape in SHAPES
        ],
        "general_settings": {"master_key": _MASTER_KEY},
    }
    path = places.folder / "litellm.yaml"
    path.write_text(json.dumps(configuration))  # which is YAML too
    command = [folder / "bin" / "litellm", "--config", path, "--host", "127.0.0.1", "--port", port, "--num_workers", 1]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    process = Process(
        "litellm",
        list(map(str, command)),
        _plain_environment() | quiet,
        places.log("litellm"),
        cwd=places.folder,
        probe=lambda: http_ready(f"{url}/health/liveliness"),
    )
    with running(process):
        headers = {"Authorization": f"Bearer {_MASTER_KEY}", **JSON}
        about = f"LiteLLM proxy {LITELLM}, one worker, master key; no database, so no limits and no ledger"
        yield Target("LiteLLM", url + PATH, headers, about, process.pid)


@contextmanager
def portkey(places: Places) -> Iterator[Target]:
    """Portkey's open gateway, which has no keys, limits or ledger."""
    folder = SET_UPS["portkey"](places.cache)
    port = kept_port(places.folder / "portkey-port")
    server = folder / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    process = Process(
        "portkey",
        ["node", str(server), "--headless", f"--port={port}"],
        _plain_environment() | {"NODE_ENV": "production"},
        places.log("portkey"),
        cwd=places.folder,
        probe=lambda: http_ready(f"http://127.0.0.1:{port}", any_status=True),
    )
    with running(process):
        headers = SIMULATED | {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"{places.upstream_url}/v1",
        }
        about = f"Portkey gateway {PORTKEY}, one Node process; it has no keys, limits or ledger"
        yield Target("Portkey", f"http://127.0.0.1:{port}{PATH}", headers, about, process.pid)


def python_tools(cache: Path, name: str, lists: Path = _LISTS) -> Path:
    """The virtual environment with the packages of `<name>.txt` in that folder. Raises LeftOut."""
    wanted = lists / f"{name}.txt"

    def commands(into: Path) -> list[list[str]]:
        pip = [str(into / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        return [
            [sys.executable, "-m", "venv", str(into)],
            [*pip, "--no-input", "--require-hashes", "--no-deps", "-r", str(wanted)],
        ]

    return _installed(cache, name, [wanted], commands)


def _portkey_installed(cache: Path) -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise LeftOut("Node.js with npm is not in PATH")
    lists = [_LISTS / "portkey" / "package.json", _LISTS / "portkey" / "package-lock.json"]
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"]
    return _installed(cache, "portkey", lists, lambda into: [[*command, str(into)]])


def _installed(cache: Path, name: str, lists: Sequence[Path], commands: Callable[[Path], list[list[str]]]) -> Path:
    """A folder made by these commands, once for each content of the lists. Raises LeftOut."""
    content = b"".join(one.read_bytes() for one in lists) + sys.version.encode()
    folder = cache / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    done = folder / "installed"
    if done.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for one in lists:
        shutil.copy(one, folder)
    print(f"Installing {name} into {folder} (once)", file=sys.stderr, flush=True)
    for command in commands(folder):
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LeftOut(f"it could not be installed: {error}") from None
        if run.returncode:
            last = (run.stderr.strip() or run.stdout.strip()).splitlines()[-1:]
            raise LeftOut(f"it could not be installed: {' '.join(last)[:300]}")
    done.touch()
    return folder


def _plain_environment() -> dict[str, str]:
    """Without this program's own settings: nobody's keys and addresses belong in somebody else's gateway."""
    kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


# What has to be installed for whom; each returns the folder. Raises LeftOut.
SET_UPS: dict[str, Callable[[Path], Path]] = {
    "litellm": lambda cache: python_tools(cache, "litellm"),
    "portkey": _portkey_installed,
}
