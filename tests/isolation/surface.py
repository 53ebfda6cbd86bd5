"""Everything that can be attacked, found in the code itself: paths of the resolver and beside it, socket messages."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.urls import get_resolver
from django.urls.resolvers import RoutePattern, URLPattern, URLResolver
from django.utils.regex_helper import normalize

from apps.conversations.edge.websocket import ChatConsumer
from apps.routing.edge.gateway.application import DOORS
from apps.tenants import policy
from apps.tenants.edge.middleware import ADMINISTRATION

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, slots=True)
class Route:
    """A path with named places (`/chat/%(conversation_id)s/`)."""

    template: str
    names: tuple[str, ...]
    view: Callable[..., Any] | None = field(default=None, compare=False, repr=False)
    administration: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, template: str, *more: Any) -> "Route":
        return cls(template, tuple(re.findall(r"%\((\w+)\)s", template)), *more)

    @property
    def door(self) -> str:
        """What routes are grouped by, so that a door with many does not hide the others."""
        return self.template.split("%")[0].strip("/").split("/")[0]

    @property
    def methods(self) -> tuple[str, ...]:
        """What the view says it answers; `*` where it does not say: a public one, or one of the frame's own."""
        assert self.view is not None
        declared = policy.declared(self.view) if self.view.__module__.startswith("apps.") else None
        return tuple(declared) if declared else ("*",)

    def path(self, values: dict[str, str]) -> str:
        return self.template % values


def routes() -> list[Route]:
    """Every route that Django answers, and the doors beside it."""
    found = {route.template: route for route in _walk(get_resolver().url_patterns, "/")}
    found |= {path: Route.of(path, door) for path, door in DOORS.items()}
    return [found[template] for template in sorted(found)]


def _walk(patterns: list[URLPattern | URLResolver], prefix: str, administration: bool = False) -> Iterator[Route]:
    for one in patterns:
        template = prefix + _template(one.pattern)
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, template, administration or one.app_name == ADMINISTRATION)
        else:
            yield Route.of(template, one.callback, administration)


def _template(pattern: object) -> str:
    if isinstance(pattern, RoutePattern):
        return _CONVERTER.sub(r"%(\1)s", str(pattern).replace("%", "%%"))
    return normalize(str(pattern))[0][0]


def socket_messages() -> list[str]:
    """The types of message the socket understands, as its dispatcher names them."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(ChatConsumer._dispatch)))
    cases = [node.pattern for node in ast.walk(tree) if isinstance(node, ast.match_case)]
    found = {
        pattern.value.value
        for pattern in cases
        if isinstance(pattern, ast.MatchValue) and isinstance(pattern.value, ast.Constant)
    }
    assert {"message.send", "generation.cancel", "subscribe"} <= found
    return sorted(found)
