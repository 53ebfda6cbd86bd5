"""Targets of the settings' forms: each makes one change, says what happened, and goes back to its page."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.problems import NotFound, Problem
from apps.tenants.contracts import Principal
from apps.tenants.edge.pages import person_required
from apps.tenants.policy import Action, opens


@dataclass(frozen=True, slots=True)
class Done:
    """What happened, and the form that takes it back: its address and fields."""

    words: str
    undo: str = ""
    fields: Iterable[tuple[str, str]] = field(default=())


Change = Callable[[HttpRequest, Principal, dict[str, Any]], str | Done]


def change(action: Action, back_to: str) -> Callable[[Change], Callable[..., HttpResponseBase]]:
    """Make a view of a function that makes one change. A refusal is said on the page, too.

    The page's own query goes along, so that who was looked for is still there.
    """

    def decorate(make: Change) -> Callable[..., HttpResponseBase]:
        @opens(POST=action)
        @require_POST
        @person_required
        def changed(request: HttpRequest, principal: Principal, /, **ids: Any) -> HttpResponse:
            try:
                made = make(request, principal, ids)
            except NotFound:
                raise
            except Problem as problem:
                messages.error(request, words_of(problem))
            else:
                done = made if isinstance(made, Done) else Done(made)
                undo = json.dumps({"url": done.undo, "fields": list(done.fields)}) if done.undo else ""
                messages.success(request, done.words, extra_tags=undo)
            query = request.GET.urlencode()
            return redirect(f"{reverse(back_to)}?{query}" if query else back_to)

        return changed

    return decorate


def words_of(problem: Problem) -> str:
    """A problem in one line, with what was wrong with each input."""
    return " ".join([problem.detail, *(text for texts in (problem.fields or {}).values() for text in texts)])


def uuid_of(text: str) -> UUID:
    """Raises `NotFound` for what is no id."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("There is no such thing.") from None
