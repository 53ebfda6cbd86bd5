"""`python -m onebox run | dev | services | env`: the whole product, or only its servers, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from onebox import commands, environment_file
from onebox.bootstrap import BootstrapFailed
from onebox.console import Console, LogFollower
from onebox.network import CannotListen
from onebox.postgres_install import PostgresUnavailable
from onebox.process import StartFailed
from onebox.redis import RedisUnavailable
from onebox.stack import LOOK_SECONDS, Stack
from onebox.supervisor import AlreadyRunning

_EXPECTED = (AlreadyRunning, BootstrapFailed, CannotListen, PostgresUnavailable, RedisUnavailable, StartFailed)
_DEVELOPMENT = {"DEBUG": "1", "LOG_FORMAT": "console", "DRAIN_SECONDS": "2"}


def main() -> int:
    """Returns the exit code: 0 after a stop that was asked for, 1 when the start failed, 2 for wrong settings."""
    arguments = _parser().parse_args()
    try:
        env = environment_file.merged(commands.ROOT / ".env", os.environ)
        port = int(env.get("PORT", "8000"))
    except ValueError as error:
        print(f"Wrong setting: {error}", file=sys.stderr)
        return 2
    folder = Path(env.get("DATA_DIR") or commands.ROOT / "var").expanduser()
    if arguments.command == "env":
        return _print_env(folder)
    if arguments.command == "dev":
        env = _DEVELOPMENT | env
    return _Session(arguments, env, folder, port).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="onebox", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    run = subcommands.add_parser("run", help="the whole product")
    run.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    run.add_argument("--follow", action="store_true", help="show the processes' output")
    dev = subcommands.add_parser("dev", help="the whole product, restarted when a source file changes")
    dev.set_defaults(workers=1, follow=True)
    services = subcommands.add_parser("services", help="only PostgreSQL and Redis; prints their addresses")
    services.add_argument(
        "--durable", action=argparse.BooleanOptionalAction, default=True, help="--no-durable is faster, for tests"
    )
    subcommands.add_parser("env", help="print the environment of the instance that uses DATA_DIR, for a shell")
    return parser


def _print_env(folder: Path) -> int:
    try:
        print((folder / "onebox.env").read_text(), end="")
    except OSError:
        print(f"Nothing was started with {folder} yet: python -m onebox services", file=sys.stderr)
        return 1
    return 0


class _Session:
    """One run from the command line: start, wait for a signal, stop."""

    def __init__(self, arguments: argparse.Namespace, env: dict[str, str], folder: Path, port: int) -> None:
        self.command: str = arguments.command
        self.is_product = self.command != "services"
        self.began = time.monotonic()
        # Addresses on standard output are for programs; what a person reads goes beside them.
        self.console = Console(sys.stdout if self.is_product else sys.stderr)
        is_demo = self.is_product and env.get("DEMO", "1") != "0"
        self.stack = Stack(
            folder,
            webs=1 if self.is_product else 0,
            workers=getattr(arguments, "workers", 1),
            simulator=is_demo,
            port=port,
            env=env,
            durable=getattr(arguments, "durable", True),
            demo=is_demo,
            restart_services=True,
            console=self.console,
        )
        self.follow: bool = getattr(arguments, "follow", False)
        if self.follow:  # the ends of logs are on the screen already
            self.stack.supervisor.report = lambda text: self.console.line(text.splitlines()[0])
        self.stopping = False

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        follower: LogFollower | None = None
        code = 0
        try:
            self.stack.start_services()
            if self.is_product:
                self.stack.prepare()
                if self.follow:
                    follower = LogFollower(self.console, self._served_logs())
                    follower.start()
                self.stack.start_processes()
                self._summary()
            else:
                self._print_exports()
            self._wait()
        except KeyboardInterrupt:
            pass
        except _EXPECTED as error:
            self.stopping = True
            self.console.line(f"\n{self.console.paint('Not started.', 'red')} {error}")
            code = 1
        self._stop()
        if follower is not None:
            follower.stop()
        return code

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first asks for an orderly stop; every further one kills what still runs."""
        if self.stopping:
            self.stack.supervisor.hurry()
        else:
            self.stopping = True
            raise KeyboardInterrupt

    def _wait(self) -> None:
        if self.command == "dev":
            from onebox.reload import restart_on_change

            restart_on_change(self.stack, self.console)
        elif self.is_product:
            while True:
                time.sleep(LOOK_SECONDS)
                self.stack.look_after()
        else:
            threading.Event().wait()

    def _stop(self) -> None:
        began = time.monotonic()
        anything_runs = any(process.alive for process in self.stack.processes.values())
        if anything_runs:
            self.console.line("\nStopping: web and worker first, PostgreSQL last. Ctrl-C again ends them at once.")
        self.stack.stop()
        if anything_runs:
            self.console.line(f"Stopped in {time.monotonic() - began:.1f} s.")

    def _served_logs(self) -> dict[str, Path]:
        names = ["web-1", *(f"worker-{number}" for number in range(1, self.stack.workers + 1)), "beat", "simulator"]
        return {name: self.stack.supervisor.logs / f"{name}.log" for name in names}

    def _print_exports(self) -> None:
        for key, value in self.stack.exports().items():
            print(f"export {key}={shlex.quote(value)}")
        print("# ready", flush=True)

    def _summary(self) -> None:
        url = self.stack.url
        rows = [("Address", url)]
        key = "<an API key from Settings, API keys>"
        demo = self.stack.data_dir / "demo.json"
        if self.stack.demo and demo.exists():
            facts = json.loads(demo.read_text())
            rows += [
                ("Sign in", f"{facts['email']}   {facts['password']}"),
                ("Administrator", f"{facts['admin_email']}   {facts['admin_password']}   at {url}/admin/"),
                ("API key", facts["api_key"]),
            ]
            rows += [("Left out", told) for told in facts.get("left_out", [])]
            key = facts["api_key"]
        rows.append(("Logs", str(self.stack.supervisor.logs)))
        took = f"ready after {time.monotonic() - self.began:.1f} s"
        self.console.line()
        self.console.box(f"Switchboard, {took}", rows, "Ctrl-C stops everything")
        body = json.dumps({"message": "Say hello in three languages.", "stream": True})
        self.console.line("Try it from a shell:\n")
        self.console.line(f"  curl -N {url}/v1/chat/messages -H 'Authorization: Bearer {key}' \\")
        self.console.line("    -H 'Content-Type: application/json' -H \"Idempotency-Key: $(date +%s%N)\" \\")
        self.console.line(f"    -d '{body}'\n")


if __name__ == "__main__":
    sys.exit(main())
