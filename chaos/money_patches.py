"""What mutations of drills 14 and 15 do to admission, to its rebuild, and to idempotency keys."""

import asyncio
import time
from dataclasses import replace
from types import ModuleType
from typing import Any

from apps.limits.contracts import Admitted, Cold, OpenCall

# Between looking and holding, where these are two steps.
_BETWEEN_SECONDS = 0.1


def look_then_hold(module: ModuleType) -> None:
    """Admission in two round trips: look what is left, then hold it. In between others look too."""

    def fits(overview: Any, calls: Any) -> bool:
        amount, requests = sum(call.amount_nanousd for call in calls), len(calls)
        return all(
            one.remaining >= (amount if one.kind.value.startswith("budget") else requests)
            for one in overview.allowances
            if not one.kind.value.startswith("tokens")
        )

    def held(calls: Any, limits: Any) -> Any:
        scopes = tuple(one.scope for one in limits)
        return [OpenCall(call.call_id, call.amount_nanousd, scopes, call.tokens, call.note) for call in calls]

    def admit(self: Any, tenant_id: Any, limits: Any, calls: Any, *, lease_seconds: float, **rest: Any) -> Any:
        overview = self.peek(tenant_id, limits)
        if isinstance(overview, Cold) or not fits(overview, calls):
            return atomic(self, tenant_id, limits, calls, lease_seconds=lease_seconds, **rest)
        time.sleep(_BETWEEN_SECONDS)
        self.register(tenant_id, held(calls, limits), lease_seconds=lease_seconds)
        return Admitted(())

    async def admit_here(
        self: Any, tenant_id: Any, limits: Any, calls: Any, *, lease_seconds: float, **rest: Any
    ) -> Any:
        overview = await self.peek(tenant_id, limits)
        if isinstance(overview, Cold) or not fits(overview, calls):
            return await atomic(self, tenant_id, limits, calls, lease_seconds=lease_seconds, **rest)
        await asyncio.sleep(_BETWEEN_SECONDS)
        await self.register(tenant_id, held(calls, limits), lease_seconds=lease_seconds)
        return Admitted(())

    client = module.AsyncLimits if module.__name__.endswith("async_client") else module.Limits
    atomic = client.admit
    client.admit = admit_here if client.__name__ == "AsyncLimits" else admit


async def register_nothing(self: Any, tenant_id: Any, calls: Any, *, lease_seconds: float) -> tuple[str, ...]:
    return ()


def load_without_reservations(module: ModuleType) -> None:
    load = module.load
    module.load = lambda tenant_id, wanted: replace(load(tenant_id, wanted), open_calls=())  # type: ignore[attr-defined]


def load_full_buckets(module: ModuleType) -> None:
    load = module.load

    def loaded(tenant_id: Any, wanted: Any) -> Any:
        return replace(load(tenant_id, wanted), recent_requests={}, recent_tokens={})

    module.load = loaded  # type: ignore[attr-defined]


def repeat_whatever_is_asked(module: ModuleType) -> None:
    """A key stands for its first request, whatever the later ones say."""
    replay = module.replay

    def blind(principal: Any, request: Any) -> Any:
        turns = module.Turn.objects.filter(user_id=principal.user_id, idempotency_key=request.idempotency_key)
        digest = turns.values_list("request_digest", flat=True).first()
        return replay(principal, request if digest is None else replace(request, digest=bytes(digest)))

    module.replay = blind  # type: ignore[attr-defined]


def hold_kept_keys_alone(module: ModuleType) -> None:
    _reword(
        module,
        "  if found[1] then\n    if found[1] ~=",
        "  if found[1] and found[2] ~= 'running' then\n    if found[1] ~=",
    )


def compare_no_prints(module: ModuleType) -> None:
    _reword(module, "if found[1] ~= ARGV[6] then return {'OTHER', epoch} end", "")


def _reword(module: ModuleType, before: str, after: str) -> None:
    """Change the script of idempotency keys."""
    script = module._SCRIPT
    if script.text.count(before) != 1:
        raise RuntimeError("the script of idempotency keys is not written in the way this mutation knows")
    module._SCRIPT = type(script)(script.text.replace(before, after))  # type: ignore[attr-defined]
