"""What Celery's beat asks for, and when. `expires`: late rings are worth nothing, the next is on its way."""

from typing import Any

from celery.schedules import crontab

SCHEDULE: dict[str, dict[str, Any]] = {
    "write-audit-heads": {
        "task": "tenants.write_audit_heads",
        "schedule": crontab(minute=7),
        "options": {"expires": 3000},
    },
    "forget-refresh-tokens": {
        "task": "tenants.forget_refresh_tokens",
        "schedule": crontab(minute=37),
        "options": {"expires": 3000},
    },
    "tell-failed-sign-ins": {
        "task": "tenants.tell_failed_sign_ins",
        "schedule": 120.0,
        "options": {"expires": 100},
    },
    "forget-verdicts": {
        "task": "routing.forget_verdicts",
        "schedule": crontab(minute=17, hour=3),
        "options": {"expires": 3000},
    },
    "repeat-settlements": {
        "task": "billing.repeat_settlements",
        "schedule": 30.0,
        "options": {"expires": 25},
    },
}
