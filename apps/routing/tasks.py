"""Celery's door of routing: upkeep that beat asks for."""

from celery import shared_task
from django.db import connections

from apps.routing import safety_verdicts


@shared_task(name="routing.forget_verdicts", ignore_result=True)
def forget_verdicts() -> None:
    """Delete what screening found longer ago than it is kept."""
    try:
        safety_verdicts.forget_old()
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()
