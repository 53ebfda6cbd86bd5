"""Celery's door of billing: upkeep that beat asks for."""

from celery import shared_task
from django.db import connections

from apps.billing import services


@shared_task(name="billing.repeat_settlements", ignore_result=True)
def repeat_settlements() -> None:
    """Tell the counters again what the ledger knows; see `services.repeat_settlements`."""
    try:
        services.repeat_settlements()
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()
