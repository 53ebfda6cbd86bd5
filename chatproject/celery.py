"""Celery's application: configuration from Django's settings, tasks found in the apps."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")

from django.conf import settings

app = Celery("chatproject")
app.conf.update(settings.CELERY)
app.autodiscover_tasks(["apps.tenants", "apps.billing", "apps.routing", "apps.conversations"])
