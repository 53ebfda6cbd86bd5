"""The whole product as one object: for `make run`, for tests, for drills and for benchmarks."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from onebox import commands, credentials
from onebox.console import Console
from onebox.network import http_ready, kept_port, listen
from onebox.parallel import together
from onebox.preparation import DjangoCommands, Preparation, has_litellm
from onebox.process import Process
from onebox.services import Services
from onebox.supervisor import Supervisor

SERVING_TIER, CLOCK_TIER = 0, 1
READY_SECONDS = 60.0
LOOK_SECONDS = 10.0
LITELLM_WORKER = "worker-litellm"
_SECRET_NAMES = ("SECRET_KEY", "VAULT_KEYS", "JWT_KEYS", "OAUTH_SIGNING_KEYS", "API_KEY_PEPPER")
_DATABASE_NAMES = ("DATABASE_ADMIN_URL", "DATABASE_URL", "DATABASE_ENGINE_URL", "DATABASE_OWNER_URL", "DB_NAME")
_REDIS_NAMES = ("REDIS_URL", "REDIS_CACHE_URL", "REDIS_PREFIX")
_PLACE_NAMES = ("SIMULATOR_URL", "BASE_URL", "HOST", "PORT", "DATA_DIR", "DEMO", "WEB_SERVER")
_CHOICE_NAMES = ("DEBUG", "ALLOWED_HOSTS", "LOG_LEVEL", "LOG_FORMAT", "WORKER_SLOTS", "WORKER_THREADS", "WORKER_QUEUE")
# Another installation's settings must not leak into this one; whoever means them passes them in `env`.
_OWN_NAMES = (*_SECRET_NAMES, *_DATABASE_NAMES, *_REDIS_NAMES, *_PLACE_NAMES, *_CHOICE_NAMES)


class Stack:
    """PostgreSQL, Redis, web processes, workers, beat and the provider simulator on one data folder.

    `env` is what a person would set in the environment: addresses in it replace the embedded servers. `port` is the
    first web process's, any free one by default; each further one gets a free port. Not durable: for tests, faster.
    `wrap(name, argv)` may replace any process's command line. `demo` also writes demonstration data to `demo.json`.
    `restart` starts crashed web, worker, beat and simulator processes again, `restart_services` the servers too.
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        webs: int = 1,
        workers: int = 1,
        beat: bool = True,
        web_server: str | None = None,
        simulator: bool = True,
        port: int | None = None,
        env: Mapping[str, str] | None = None,
        durable: bool = True,
        wrap: Callable[[str, list[str]], list[str]] | None = None,
        demo: bool = False,
        restart: bool = True,
        restart_services: bool = False,
        console: Console | None = None,
    ) -> None:
        self.data_dir = Path(data_dir).resolve()
        self._given = dict(env or {})
        self._webs, self.workers, self._beat, self._simulator = webs, workers, beat, simulator
        self._web_server = web_server or self._given.get("WEB_SERVER", "daphne")
        self._port = port
        self._durable, self._wrap, self.demo = durable, wrap, demo
        self._restart, self._restart_services = restart, restart_services
        self.console = console or Console(quiet=True)
        self.supervisor = Supervisor(self.data_dir, report=self.console.line)
        self._host = self._given.get("HOST", "127.0.0.1")
        self._listeners: dict[str, socket.socket] = {}
        inherited = {key: value for key, value in os.environ.items() if key not in _OWN_NAMES}
        self.env: dict[str, str] = inherited | self._given

    @property
    def processes(self) -> dict[str, Process]:
        """Every process by name: web-1, worker-1, worker-litellm, beat, simulator, postgres, redis, redis-cache."""
        return self.supervisor.processes

    @property
    def web_urls(self) -> list[str]:
        """One address per web process, web-1 first; known once started."""
        return [self._address(name) for name in sorted(self._listeners) if name.startswith("web-")]

    @property
    def url(self) -> str:
        """The address people use."""
        return self.env["BASE_URL"]

    def start(self) -> None:
        """Start everything and return when it serves; what had started is stopped when something fails.

        Raises AlreadyRunning, CannotListen, StartFailed, BootstrapFailed, PostgresUnavailable, RedisUnavailable.
        """
        try:
            self.start_services()
            self.prepare()
            self.start_processes()
        except BaseException:
            self.stop()
            raise

    def start_services(self) -> None:
        """Take the folder, bind the ports, start PostgreSQL and Redis, and complete `env`."""
        self._make_folder()
        self.supervisor.acquire(f"http://{self._host}:{self._port}" if self._port else "")
        secrets = credentials.load_or_create(self.data_dir / "secrets.json")
        self._bind()
        self._complete_environment(secrets)
        services = Services(
            self.supervisor,
            self._given,
            secrets,
            durable=self._durable,
            restart=self._restart_services,
            wrap=self._wrap,
            console=self.console,
        )
        self.env |= services.start()
        self._write_environment_file()

    def prepare(self) -> None:
        """Migrate and collect static files, side by side, where something changed since the last start."""
        manage = DjangoCommands(self.supervisor, commands.ROOT, sys.executable, self.env)
        preparation = Preparation(commands.ROOT, self.data_dir)

        def migrate() -> None:
            with self.console.step("Migrations") as details:
                if not preparation.migrate(manage, self.env["DATABASE_OWNER_URL"]):
                    details.append("unchanged")

        def collect_static() -> None:
            with self.console.step("Static files") as details:
                if not preparation.collect_static(manage):
                    details.append("unchanged")

        # With DEBUG, files are served from where they lie.
        together(migrate, *([] if self.env["DEBUG"] == "1" else [collect_static]))

    def start_processes(self) -> None:
        """Start simulator, web processes and workers, write the demonstration's data meanwhile, then start beat."""
        if "simulator" in self._listeners:
            self._start_process("simulator", commands.simulator(self._listeners["simulator"]), tier=CLOCK_TIER)
        webs = [name for name in sorted(self._listeners) if name.startswith("web-")]
        for name in webs:
            self._start_process(name, commands.web(self._web_server, self._listeners[name]))
        threads = self.env["WORKER_THREADS"]
        workers = [f"worker-{number}" for number in range(1, self.workers + 1)]
        for name in workers:
            self._start_process(name, commands.worker(name, threads))
        if workers and self.start_litellm_worker():
            workers.append(LITELLM_WORKER)
        jobs = [lambda: self._wait("Web", webs), lambda: self._wait("Worker", workers)]
        if "simulator" in self.processes:
            jobs.append(lambda: self._wait("Simulator", ["simulator"]))
        if self.demo:
            jobs.append(self._seed_demo)
        together(*jobs)
        if self._beat:
            self._start_process("beat", commands.beat(self.data_dir), tier=CLOCK_TIER)

    def start_litellm_worker(self) -> bool:
        """Start the worker with every adapter if a provider needs it: it holds some 200 MB more than another. Returns
        whether it was started."""
        if LITELLM_WORKER in self.processes or not has_litellm(self.env["DATABASE_ENGINE_URL"]):
            return False
        command = commands.worker(LITELLM_WORKER, self.env["WORKER_THREADS"], "litellm")
        self._start_process(LITELLM_WORKER, command, env={"WORKER_QUEUE": "litellm"})
        return True

    def look_after(self) -> None:
        """Start what is needed since the start: the first provider for litellm may come at any time. To be called every
        `LOOK_SECONDS`."""
        try:
            if self.workers and self.start_litellm_worker():
                self.console.line("A provider goes through litellm now. Starting the worker that can call it.")
        except psycopg.Error:
            pass  # PostgreSQL is away for the moment; the next look finds it

    def stop(self) -> None:
        """Stop in order: web and workers, beat and simulator, Redis, PostgreSQL. Harmless when not started."""
        self.supervisor.stop()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def manage(self, command: str, *arguments: str) -> None:
        """Run a `manage.py` command in this environment. Raises StartFailed with its output when it fails."""
        DjangoCommands(self.supervisor, commands.ROOT, sys.executable, self.env)(command, *arguments)

    def _make_folder(self) -> None:
        # Others may pass through, not look: PostgreSQL's account must reach its folder when we are root.
        is_ours = not self.data_dir.exists() or not any(self.data_dir.iterdir())
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if is_ours:
            self.data_dir.chmod(0o711)

    def _bind(self) -> None:
        """Every port is taken before anything starts, so that a taken one is told at once."""
        for number in range(1, self._webs + 1):
            self._listeners[f"web-{number}"] = listen(self._host, self._port if number == 1 else None)
        if self._simulator and not self._given.get("SIMULATOR_URL"):
            self._listeners["simulator"] = listen("127.0.0.1", kept_port(self.data_dir / "simulator-port"))

    def _complete_environment(self, secrets: Mapping[str, str]) -> None:
        address = self._address("web-1") if self._webs else "http://127.0.0.1:8000"
        defaults = {name: secrets[name.lower()] for name in _SECRET_NAMES} | {
            "BASE_URL": address,
            "DEBUG": "0",
            "WORKER_THREADS": "8",
        }
        if "simulator" in self._listeners:
            defaults["SIMULATOR_URL"] = self._address("simulator")
        self.env = defaults | self.env
        self.env |= {
            "DATA_DIR": str(self.data_dir),
            "WEB_SERVER": self._web_server,
            "DEMO": "1" if self.demo else "0",
            "PYTHONUNBUFFERED": "1",
        }
        if self._webs:
            self.env["PORT"] = str(self._listeners["web-1"].getsockname()[1])

    def _address(self, name: str) -> str:
        host, port = self._listeners[name].getsockname()[:2]
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{shown}:{port}"

    def _write_environment_file(self) -> None:
        """`onebox.env`, to be sourced by a shell that wants to run `manage.py` beside us."""
        path = self.data_dir / "onebox.env"
        path.touch(0o600)
        path.chmod(0o600)
        path.write_text("".join(f"export {key}={shlex.quote(value)}\n" for key, value in self.exports().items()))

    def exports(self) -> dict[str, str]:
        """The part of `env` that is about this installation."""
        return {key: self.env[key] for key in _OWN_NAMES if key in self.env}

    def _start_process(
        self, name: str, argv: list[str], *, tier: int = SERVING_TIER, env: Mapping[str, str] | None = None
    ) -> None:
        listener = self._listeners.get(name)
        process = Process(
            name,
            argv,
            {**self.env, **(env or {})},
            self.supervisor.logs / f"{name}.log",
            cwd=commands.ROOT,
            pass_fds=[listener.fileno()] if listener else [],
            record_path=self.supervisor.records / f"{name}.json",
        )
        process.wrap = self._wrap
        if name.startswith("web-"):
            url = self._address(name)
            process.probe = lambda: http_ready(f"{url}/readyz")
        elif name == "simulator":
            url = self._address(name)
            process.probe = lambda: http_ready(url, any_status=True)
        elif name.startswith("worker-"):
            process.probe = self._workers_listen
        self.supervisor.add(process, tier=tier, restart=self._restart)
        process.start()

    def _workers_listen(self) -> bool:
        """Whether as many clients wait on the broker's queues as there are workers."""
        try:
            once = Retry(NoBackoff(), 0)
            with redis.Redis.from_url(self.env["REDIS_URL"], socket_timeout=2, retry=once) as broker:
                waiting = [client for client in broker.client_list() if client["cmd"] == "brpop"]
        except redis.RedisError:
            return False
        return len(waiting) >= sum(name.startswith("worker-") for name in self.processes)

    def _wait(self, step: str, names: list[str]) -> None:
        if names:
            with self.console.step(step) as details:
                for name in names:
                    self.processes[name].wait_ready(READY_SECONDS)
                addresses = [self._address(name) for name in names if name in self._listeners]
                details.append(" ".join([self._web_server if step == "Web" else "", *addresses]).strip())

    def _seed_demo(self) -> None:
        with self.console.step("Demonstration data") as details:
            if not Preparation(commands.ROOT, self.data_dir).seed_demo(self.manage, self.env):
                details.append("unchanged")
