"""What can go wrong with a chat.

Problem
├── NotFound                 no such conversation, turn or generation for this caller
├── Invalid
│   └── InvalidMessage       text or choice of models breaks a rule
├── Conflict
│   └── StillAnswering       the conversation has a lane at work
├── IdempotencyMismatch      the key was used for another body
├── TooManyStreams           this process carries as many event streams as it may
└── (not told to callers)
    ├── Fenced               another worker owns the generation now
    └── CancelAsked          no further provider call may begin
"""

from apps.problems import Conflict, Invalid, NotFound, Problem

__all__ = [
    "CancelAsked",
    "Fenced",
    "IdempotencyMismatch",
    "InvalidMessage",
    "NotFound",
    "StillAnswering",
    "TooManyStreams",
]


class InvalidMessage(Invalid):
    """The message or the choice of models breaks a rule; `fields` says which."""

    code = "invalid_message"


class StillAnswering(Conflict):
    """The conversation's last question is still being answered. Wait, or cancel it."""

    code = "still_answering"
    retryable = True


class IdempotencyMismatch(Problem):
    """The idempotency key was used before, for a different request."""

    code = "idempotency_mismatch"
    status = 422


class TooManyStreams(Problem):
    """This process carries as many event streams as it may, in all or of one person. What they follow goes on."""

    code = "too_many_streams"
    status = 429
    retryable = True


class Fenced(Exception):
    """The generation is not this worker's any more: another claimed it, or it is final. Nothing may be written."""


class CancelAsked(Exception):
    """Cancel was asked before this provider call began; the call must not be made."""
