"""The published description of the doors is built by one thread at a time.

What builds it keeps its registers for the whole process and fills them as it goes: of two visitors at once after a
start, one was told of a fault of ours.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest
from django.http.response import HttpResponseBase

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]

_building = threading.Lock()


def one_at_a_time(view: View[P]) -> View[P]:
    """The view, behind a lock of this process."""

    @wraps(view)
    def waiting(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        with _building:
            return view(request, *args, **kwargs)

    return waiting
