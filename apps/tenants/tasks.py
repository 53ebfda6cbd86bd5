"""Celery's door of tenants: upkeep that beat asks for."""

from celery import shared_task
from django.db import connections

from apps.accounts import captcha, failed_tries, rate_limits
from apps.tenants import audit_heads, sign_in_log, token_families


@shared_task(name="tenants.write_audit_heads", ignore_result=True)
def write_audit_heads() -> None:
    """Sign and write down where each audit chain ends; see `audit_heads`."""
    try:
        audit_heads.write_heads()
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()


@shared_task(name="tenants.forget_refresh_tokens", ignore_result=True)
def forget_refresh_tokens() -> None:
    """Delete refresh tokens that nobody could use any more."""
    try:
        token_families.forget_expired()
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()


@shared_task(name="tenants.tell_failed_sign_ins", ignore_result=True)
def tell_failed_sign_ins() -> None:
    """Write into the audit log what was not told at once, and how many failures came after those that were."""
    try:
        failed_tries.forget_old()
        rate_limits.forget_old()
        captcha.forget_spent()
        sign_in_log.tell_the_rest()
        sign_in_log.tell_notes()
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()
