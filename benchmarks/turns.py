"""Asking without a door: start turns from a script in a Stack's environment.

As a script, `python -m benchmarks.turns MODEL COUNT` prints the ids of each turn's generations as a line of JSON, as
soon as the turn is accepted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from uuid import UUID, uuid4

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

LANES = 8  # as many as one turn may have: fewer turns for as many streams


def start(model: str, count: int) -> Iterator[list[UUID]]:
    """Start `count` generations of one model, eight a turn. Needs Django."""
    from apps.accounts import selectors as accounts
    from apps.conversations import requests, services
    from apps.tenants import selectors as tenants
    from benchmarks.seed import EMAIL

    user_id = accounts.id_by_email(EMAIL)
    principal = tenants.principal_for(user_id) if user_id is not None else None
    if principal is None:
        raise SystemExit("run benchmarks.seed first")
    for first in range(0, count, LANES):
        body = {"message": f"Tell me about {uuid4()}.", "models": [model] * min(LANES, count - first)}
        turn = services.start_turn(principal, requests.turn_request(body, None))
        yield [lane.generation_id for lane in turn.generations]


def main() -> None:
    django.setup()
    for ids in start(sys.argv[1], int(sys.argv[2])):
        print(json.dumps([str(id) for id in ids]), flush=True)


if __name__ == "__main__":
    main()
