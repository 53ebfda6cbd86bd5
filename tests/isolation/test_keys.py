"""After everybody was busy: every key in both Redis servers says whose it is, and holds nothing of anybody else."""

from uuid import UUID

import pytest
from django.conf import settings
from django.core.cache import cache

from apps.conversations.connections import event_loop_redis
from apps.streaming.entries import log_key
from apps.streaming.writer import LogWriter
from apps.tenants.models import Tenant
from tests.isolation import keys
from tests.isolation.attack import Ground
from tests.isolation.product import give_back_connections
from tests.isolation.world import Side


def busy(ground: type[Ground]) -> None:
    """Both ask, read finished answers drawn, and follow one that is being written."""
    for side in (ground.victim, ground.attacker):
        turn, running = side.answered(), side.asked()
        give_back_connections()
        _write_log(ground, side, running.generations[0].generation_id)
        ground.product.call(side.call("GET", "/api/schema/", "session"))  # may take longer than we listen
        answers = ground.product.call(
            side.call("GET", f"/chat/{turn.conversation_id}/", "session"),
            side.call("GET", f"/v1/chat/streams/{turn.turn_id}?render=html"),
            side.call("POST", "/v1/chat/messages", json={"message": f"{side.canary} more", "models": ["probe"]}),
            side.call("POST", "/login/", "session", form={"email": side.email, "password": "wrong"}),
        )
        assert [answer.status for answer in answers[:3]] == [200, 200, 202]


def _write_log(ground: type[Ground], side: Side, generation_id: UUID) -> None:
    async def write() -> None:
        redis = event_loop_redis()
        writer = LogWriter(redis, may_append=lambda: True)
        handle = await writer.open(generation_id, 1, {"canary": side.canary})
        handle.text("token.delta", f"{side.canary} word by word")
        await handle.flushed()
        await writer.aclose()
        await redis.aclose()

    ground.product.run(write())


def check(ground: type[Ground], before: set[tuple[str, str]]) -> list[keys.Key]:
    """Every key that came since says whose it is, and its value is theirs."""
    found = keys.described(keys.names() - before)
    tenants = set(Tenant.objects.using("engine").values_list("id", flat=True))
    for side in (ground.victim, ground.attacker):
        own = {UUID(one) for one in _generations(side)} | {side.principal.tenant_id}
        for key in found:
            if side.canary.encode() in key.value:
                assert key.owner in own, f"{key.server}: {key.name} ({key.what}) holds what is {side.name}'s"
    for key in found:
        assert key.owner is None or key.of_generation or key.owner in tenants, key.name
    return found


def _generations(side: Side) -> list[str]:
    rows = side.admin.execute(
        "SELECT id FROM conversations_generation WHERE tenant_id = %s", [side.principal.tenant_id]
    )
    return [str(one) for (one,) in rows]


def test_every_key_says_whose_it_is(ground: type[Ground]) -> None:
    before = keys.names()
    busy(ground)
    found = check(ground, before)
    for key in found:
        print(f"{key.server:8} {key.what}: {key.name}")
    for side in (ground.victim, ground.attacker):
        kept = {key.what for key in found if side.canary.encode() in key.value}
        assert kept == {"a tenant's drawn answer", *keys.GENERATIONS.values()}, "or nothing was there to be mixed up"


def test_a_key_without_an_owner_is_noticed(ground: type[Ground]) -> None:
    before = keys.names()
    cache.set("answer:1", f"{ground.victim.canary} answer", 30)
    try:
        with pytest.raises(keys.Unowned, match="answer:1"):
            check(ground, before)
    finally:
        cache.delete("answer:1")


def test_a_value_under_another_tenants_key_is_noticed(ground: type[Ground]) -> None:
    before = keys.names()
    name = f"{{t:{ground.attacker.principal.tenant_id}}}:answer:1:{UUID(int=1)}:{'0' * 64}"
    cache.set(name, f"{ground.victim.canary} answer", 30)
    try:
        with pytest.raises(AssertionError, match="holds what is a's"):
            check(ground, before)
    finally:
        cache.delete(name)


def test_an_answer_being_written_is_followed_by_its_owner_alone(ground: type[Ground]) -> None:
    running = ground.victim.asked().generations[0].generation_id
    give_back_connections()
    _write_log(ground, ground.victim, running)
    path = f"/v1/chat/streams/{running}"
    own, colleague, other = ground.product.call(
        *(side.call("GET", path) for side in (ground.victim, ground.colleague, ground.attacker))
    )
    assert ground.victim.canary.encode() in own.told and own.status == 200
    for refused in (colleague, other):
        assert refused.status == 404 and ground.victim.canary.encode() not in refused.told
    assert log_key(running) == f"{{g:{running}}}:log".encode()


def test_prefixes_part_installations_that_share_a_server() -> None:
    assert settings.CACHES["default"]["KEY_PREFIX"].startswith(settings.REDIS_PREFIX)
    assert settings.CELERY["broker_transport_options"]["global_keyprefix"] == settings.REDIS_PREFIX
