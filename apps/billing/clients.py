"""This process's blocking client of the admission scripts."""

from functools import cache

from django.conf import settings

from apps.limits.client import Limits


@cache
def limits() -> Limits:
    return Limits(settings.REDIS_URL, prefix=settings.REDIS_PREFIX)
