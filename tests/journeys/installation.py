"""The whole product as people run it, on throw-away data, with models and people for journeys.

`python -m tests.journeys.installation FOLDER` prepares a folder that installations are copied from where
JOURNEYS_TEMPLATE names it: migrating takes longer than all else.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

from onebox.commands import ROOT
from onebox.stack import Stack

# As many are made at once.
PEOPLE = 24
TEMPLATE = "JOURNEYS_TEMPLATE"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a workspace of their own; `sessions` are cookies, one for each of their devices."""

    email: str
    password: str
    user_id: str
    sessions: tuple[str, ...]


class Installation:
    """Databases, web process, worker and simulator. Nobody is handed out twice, so journeys never meet.

    Without `models` there are only the demonstration's models and people.
    """

    def __init__(self, *, models: bool = True) -> None:
        self._models = models
        self._folder = Path(tempfile.mkdtemp(prefix="journeys-"))
        self._folder.chmod(0o711)  # PostgreSQL may run as another account
        if template := os.environ.get(TEMPLATE):
            # `cp -a` keeps owners.
            subprocess.run(["cp", "-a", f"{template}/.", str(self._folder)], check=True, timeout=300)
        self.stack = Stack(self._folder, durable=False, demo=True, beat=False)
        self._people: list[Person] = []
        self._people_made = 0

    def __enter__(self) -> "Installation":
        try:
            self.stack.start()
            if self._models:
                self._seed()
                # What the demonstration's models say, without the time they take for it.
                self._control("/control/options", {"model": "demo-(swift|steady)", "options": "tps=400"})
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return self.stack.url

    def newcomer(self) -> Person:
        """Somebody who has never asked anything."""
        if not self._people:
            self._seed()
        return self._people.pop()

    def fail_next(self, upstream_model: str, kind: str) -> None:
        """The next call of this model fails in this way (see `simulator/faults.py`)."""
        # A name is full of plus signs; the simulator wants an expression.
        pattern = upstream_model.replace("+", r"\+")
        self._control("/control/faults", {"model": pattern, "kind": kind, "times": 1})

    def release(self, upstream_model: str, until: int | None = None) -> None:
        """Let what holds back its end (see `simulator/holds.py`) go on: to its end, or up to so many tokens."""
        body = {"model": re.escape(upstream_model)}
        self._control("/control/release", body if until is None else {**body, "until": until})

    def hold_again(self) -> None:
        """Let nothing go on any more that holds back its end."""
        self._control("/control/release", method="DELETE")

    def calls(self, upstream_model: str, since: float) -> list[dict[str, Any]]:
        """The simulator's bill for a model: its calls since a Unix time, oldest first."""
        calls = self._control(f"/control/bill?since={since}")["calls"]
        return [call for call in calls if call["model"] == upstream_model]

    def call_that_ends(self, upstream_model: str, since: float, within_seconds: float = 15.0) -> dict[str, Any]:
        """The one call of a model since then, once the simulator has seen its end."""
        deadline = time.monotonic() + within_seconds
        while True:
            calls = self.calls(upstream_model, since)
            if len(calls) == 1 and calls[0]["ended_at"] is not None:
                return calls[0]
            assert time.monotonic() < deadline, f"no single ended call within {within_seconds:g} s: {calls}"
            time.sleep(0.05)

    def _control(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self.stack.env["SIMULATOR_URL"] + path, data, headers, method=method)
        with urlopen(request, timeout=20) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def _seed(self) -> None:
        """Offer the models and make more people."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.journeys.seed", str(self._people_made), str(PEOPLE)],
            cwd=ROOT,
            env=self.stack.env,
            capture_output=True,
            text=True,
            timeout=300,  # for what hangs: a busy machine takes long to make people
        )
        if done.returncode:
            raise RuntimeError(f"The journeys' models and people could not be made:\n{done.stderr}")
        self._people_made += PEOPLE
        self._people += [Person(**{**one, "sessions": tuple(one["sessions"])}) for one in json.loads(done.stdout)]


def prepare(folder: Path) -> None:
    """Migrate and collect files in that folder, and leave it ready to be copied."""
    stack = Stack(folder, durable=False, demo=True, webs=0, workers=0, beat=False)
    try:
        stack.start_services()
        stack.prepare()
    finally:
        stack.stop()


if __name__ == "__main__":
    prepare(Path(sys.argv[1]))
