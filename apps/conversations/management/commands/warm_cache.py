"""`manage.py warm_cache FILE`: ask questions now, so that their answers are there when people ask them."""

import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from apps.accounts import selectors as people
from apps.conversations import requests, services
from apps.conversations import selectors as conversations
from apps.conversations.contracts import GenerationState
from apps.problems import Problem
from apps.routing import selectors as routing
from apps.tenants import audit, selectors
from apps.tenants.contracts import Principal

_POLL_SECONDS = 0.05


class Command(BaseCommand):
    help = (
        "Asks each line of a text file as a question in a new chat of one member, and deletes the chat when it is "
        "answered. Workers must be running. Answers are paid for as usual, and kept by the workspace's own rules: "
        "where people meet their own answers alone, only this member will."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--email", required=True, help="in whose name the questions are asked")
        parser.add_argument("--model", required=True, help="slug of the model or policy to ask")
        parser.add_argument("--seconds", type=float, default=120.0, help="wait for each answer so long (120)")

    def handle(self, *args: Any, **options: Any) -> None:
        principal = _principal(options["tenant"], options["email"])
        if not routing.catalogue(principal.tenant_id).cache.on:
            raise CommandError("The workspace has no cache switched on.")
        try:
            lines = options["file"].read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{options['file']} cannot be read: {error}.") from error
        asked = kept = 0
        for number, question in enumerate(lines, 1):
            if not question.strip():
                continue
            asked += 1
            try:
                kept += _answered(principal, question, options["model"], options["seconds"])
            except Problem as problem:
                raise CommandError(f"line {number}: {problem.detail}") from problem
        with transaction.atomic(using="engine"):
            told = {"asked": asked, "answered": kept, "model": options["model"]}
            actor = audit.Actor.command("warm_cache")
            audit.record(principal.tenant_id, actor, "answer_caches.warmed", data=told, using="engine")
        self.stdout.write(f"{kept} of {asked} questions are answered.")


def _principal(slug: str, email: str) -> Principal:
    tenant_id, user_id = selectors.tenant_id_by_slug(slug), people.id_by_email(email)
    principal = selectors.principal_for(user_id, tenant_id) if user_id and tenant_id else None
    if principal is None:
        raise CommandError(f"{email} is not an active member of an active tenant {slug}.")
    return principal


def _answered(principal: Principal, question: str, model: str, seconds: float) -> bool:
    """Ask through the same door as people do; True where the answer is complete."""
    turn = services.start_turn(principal, requests.turn_request({"message": question, "model": model}, None))
    try:
        return _ended(principal, turn.generations[0].generation_id, seconds) is GenerationState.COMPLETED
    finally:
        services.delete(principal, turn.conversation_id)


def _ended(principal: Principal, generation_id: UUID, seconds: float) -> GenerationState:
    until = time.monotonic() + seconds
    while True:
        state, _fence = conversations.standing(principal, generation_id)
        if state.terminal or time.monotonic() > until:
            return state
        time.sleep(_POLL_SECONDS)
