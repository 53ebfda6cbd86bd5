"""What `manage.py doctor` says about workers for the providers that only litellm can call."""

import os
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.db import connections

from apps.conversations.models import Worker
from apps.routing import services
from apps.routing.contracts import NewPrice
from apps.routing.models import Provider
from apps.routing.queues import KNOWN_ADDRESS
from chatproject.management.commands import doctor
from onebox.preparation import has_litellm

(CHECK,) = (one for one in doctor.CHECKS if one.name == "litellm")


@pytest.fixture
def wide_model() -> Iterator[str]:
    slug = f"gemini-{uuid4().hex[:12]}"
    provider_id = services.add_provider(name=slug, base_url=KNOWN_ADDRESS, key="any", adapter="litellm")
    services.register_model(
        provider_id=provider_id, upstream_model="gemini/any", slug=slug, price=NewPrice(0, 0, free=True)
    )
    yield slug
    Provider.objects.using("engine").filter(id=provider_id).update(enabled=False)


def _worker(queue: str) -> str:
    with connections["engine"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO conversations_worker (id, name, slots, queue, lease_until) "
            "VALUES (gen_random_uuid(), 'doctor', 7, %s, clock_timestamp() + interval '1 minute') RETURNING id",
            [queue],
        )
        (worker_id,) = cursor.fetchone() or ("",)
    return str(worker_id)


def test_the_runner_of_one_machine_sees_that_it_is_needed(wide_model: str) -> None:
    assert has_litellm(os.environ["DATABASE_ENGINE_URL"])


def test_models_that_nobody_serves_are_named(wide_model: str) -> None:
    ordinary = _worker("default")
    with pytest.raises(RuntimeError, match=f"no worker loads litellm.*{wide_model}"):
        CHECK.look()
    wide = _worker("litellm")
    try:
        assert CHECK.look().startswith("1 alive, for ")
        Worker.objects.using("engine").filter(id=ordinary).delete()
    finally:
        Worker.objects.using("engine").filter(id__in=[ordinary, wide]).delete()
