"""The control endpoints: faults, options, the bill, health. They ask for no key."""

from __future__ import annotations

import asyncio
import re
import time
from itertools import islice
from math import inf
from typing import Any

import orjson
from aiohttp import web

from simulator.calls import Simulator
from simulator.errors import ApiError, InvalidRequest
from simulator.openai_wire import OPENAI
from simulator.options import parse_options
from simulator.request import parse_body

_LINES_PER_WRITE = 1000


_JSON = "application/json"


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type=_JSON)


def _not_json() -> web.Response:
    """A page of another origin may send text or a form without asking first, but not JSON."""
    return _json(OPENAI.refusal(InvalidRequest("Send the body as application/json.")), 415)


def _refuse(message: str, param: str | None = None) -> web.Response:
    return _json(OPENAI.refusal(InvalidRequest(message, param=param)), 400)


class Control:
    """The control endpoints over one simulator's state."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/control/health", self.health),
            web.get("/control/faults", self.list_faults),
            web.post("/control/faults", self.post_fault),
            web.delete("/control/faults", self.clear_faults),
            web.delete("/control/faults/{rule:\\d+}", self.clear_faults),
            web.get("/control/options", self.list_options),
            web.post("/control/options", self.post_options),
            web.delete("/control/options", self.clear_options),
            web.post("/control/release", self.release),
            web.delete("/control/release", self.hold_again),
            web.get("/control/bill", self.bill),
            web.get("/control/bill.jsonl", self.bill_lines),
            web.delete("/control/bill", self.clear_bill),
        ]

    async def health(self, request: web.Request) -> web.Response:
        """Counters; two readings of the process's `cpu_seconds` give the cost of what lay between."""
        bill = self._simulator.bill
        return _json(
            {
                "status": "ok",
                "active_streams": bill.open_streams,
                "active_calls": bill.open_calls,
                "calls": bill.calls,
                "requests_per_second": bill.requests_per_second(),
                "tokens_sent": bill.tokens_sent,
                "chunks_sent": bill.chunks_sent,
                "cpu_seconds": time.process_time(),
                "uptime_seconds": round(time.monotonic() - self._simulator.started, 3),
            }
        )

    async def list_faults(self, request: web.Request) -> web.Response:
        return _json({"faults": [rule.describe() for rule in self._simulator.board.rules]})

    async def post_fault(self, request: web.Request) -> web.Response:
        if request.content_type != _JSON:
            return _not_json()
        try:
            rule = self._simulator.board.post(parse_body(await request.read()))
        except ValueError as error:
            return _refuse(str(error))
        except ApiError as error:
            return _refuse(error.message)
        return _json(rule.describe(), 201)

    async def clear_faults(self, request: web.Request) -> web.Response:
        rule = request.match_info.get("rule")
        return _json({"cleared": self._simulator.board.clear(None if rule is None else int(rule))})

    async def list_options(self, request: web.Request) -> web.Response:
        rules = [{"model": model, "options": text} for model, _, text in self._simulator.option_rules]
        return _json({"options": rules})

    async def post_options(self, request: web.Request) -> web.Response:
        """Options for all models that match; of several rules the newest wins."""
        if request.content_type != _JSON:
            return _not_json()
        try:
            body = parse_body(await request.read())
            model, text = str(body.get("model", "*")), str(body.get("options", ""))
            parse_options(text).named_fault()
            pattern = re.compile(".*" if model == "*" else model)
        except ApiError as error:
            return _refuse(error.message, "options")
        except re.error as error:
            return _refuse(f"`model` is not a regular expression: {error}.", "model")
        self._simulator.option_rules.append((model, pattern, text))
        return _json({"model": model, "options": text}, 201)

    async def clear_options(self, request: web.Request) -> web.Response:
        cleared = len(self._simulator.option_rules)
        self._simulator.option_rules.clear()
        return _json({"cleared": cleared})

    async def release(self, request: web.Request) -> web.Response:
        """Lets held answers of the models that match go on, up to `until` tokens or to their end."""
        if request.content_type != _JSON:
            return _not_json()
        try:
            body = parse_body(await request.read())
            model, until = str(body.get("model", "*")), float(body.get("until", inf))
            self._simulator.holds.release(model, until)
        except ApiError as error:
            return _refuse(error.message)
        except re.error as error:
            return _refuse(f"`model` is not a regular expression: {error}.", "model")
        except (TypeError, ValueError):
            return _refuse("`until` must be a number of tokens.", "until")
        return _json({"model": model}, 201)

    async def hold_again(self, request: web.Request) -> web.Response:
        return _json({"cleared": self._simulator.holds.clear()})

    async def bill(self, request: web.Request) -> web.Response:
        """`{"calls": [...]}`, oldest first; `attempt_id` and `since` (Unix seconds) narrow it down."""
        try:
            entries = self._simulator.bill.select(**_narrowed(request))
        except ValueError:
            return _refuse("`since` must be a Unix time in seconds.", "since")
        return _json({"calls": [entry.describe() for entry in entries]})

    async def bill_lines(self, request: web.Request) -> web.StreamResponse:
        """The same as JSON lines, a thousand at a time, so that a long bill does not hold up the streams."""
        try:
            entries = self._simulator.bill.select(**_narrowed(request))
        except ValueError:
            return _refuse("`since` must be a Unix time in seconds.", "since")
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        while lines := b"".join(orjson.dumps(e.describe()) + b"\n" for e in islice(entries, _LINES_PER_WRITE)):
            await response.write(lines)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def clear_bill(self, request: web.Request) -> web.Response:
        return _json({"cleared": self._simulator.bill.clear()})


def _narrowed(request: web.Request) -> dict[str, Any]:
    since = request.query.get("since")
    return {"attempt_id": request.query.get("attempt_id"), "since": None if since is None else float(since)}
