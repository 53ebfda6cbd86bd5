"""What asks no provider, and counts against the limits of requests per minute all the same."""

import time
from collections.abc import Awaitable, Callable

from apps.billing import services as billing
from apps.billing.contracts import Allowance
from apps.billing.errors import AdmissionUnavailable, SnapshotStale
from apps.routing import planning, tokens
from apps.routing.access import known
from apps.routing.stateless.call import SNAPSHOT_SECONDS, STALE_TRIES, Find
from apps.routing.stateless.ids import new_id
from apps.routing.wire.asked import Asked
from apps.tenants import selectors as callers
from apps.tenants.contracts import Principal
from apps.tenants.policy import Action, require

Left = tuple[Allowance, ...]


async def count(find: Find, asked: Asked) -> tuple[int, Left]:
    """About how many tokens the prompt has, and what is left of requests per minute. No provider is asked for that.

    Raises what `counted` raises, `UnknownModel` or `ModelNotAllowed`.
    """

    async def may_ask(caller: Principal) -> None:
        snapshot = await known(caller.tenant_id, time.monotonic() + SNAPSHOT_SECONDS)
        planning.require_offered(asked.model, snapshot.catalogue_for(caller))

    left = await counted(find, may_ask)
    return tokens.likely_input(asked.prompt_bytes), left


async def counted(find: Find, may_ask: Callable[[Principal], Awaitable[None]] | None = None) -> Left:
    """Take one request from the limits per minute that apply to whoever `find` finds; nothing else is consumed.

    Raises what `find` and `may_ask` raise, `Forbidden`, `RateLimited` or `AdmissionUnavailable`.
    """
    for _ in range(STALE_TRIES):
        caller, generation = await find()
        require(caller, Action.CHAT_ASK)
        if may_ask is not None:
            await may_ask(caller)
        try:
            left = await billing.take_request(caller, new_id())
        except SnapshotStale:
            continue
        if callers.generation() == generation:
            return left
    raise AdmissionUnavailable("Limits are changing right now. Try again in a moment.", retry_after_seconds=1)
