"""Health checks of deployments whose breakers are open, so that nobody's message has to find out that they are back.

A check costs nothing: it asks for the provider's list of models, under the same lease as a probe, so one process of the
fleet does it at a time. A list proves only what it had disproved (see `circuit.checked`): where a provider answers
nobody and lists its models all the same, or has no list, the next call is the probe.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Protocol
from uuid import UUID

import structlog

from apps.routing import chance, selectors
from apps.routing.breaker import verdict_on
from apps.routing.circuit import Asker, Verdict
from apps.routing.contracts import ProviderAccess
from apps.routing.errors import ProviderFailed, ProviderMisconfigured
from apps.routing.fleet import Fleet, clock_ms
from apps.routing.providers import listing
from apps.tenants.scope import database_step

CHECK_SECONDS = 2.0
_TIMEOUT_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Listing(Protocol):
    def __call__(self, access: ProviderAccess, provider_name: str, /, *, timeout_seconds: float) -> Awaitable[object]:
        """Ask the provider for its models. Raises `ProviderFailed`."""
        ...


LISTINGS: Mapping[str, Listing] = {"openai_compatible": listing.upstream_models}


async def check_forever(fleet: Fleet) -> None:
    """Every couple of seconds, and never at the same moment as other processes. Runs until it is cancelled."""
    while True:
        await asyncio.sleep(CHECK_SECONDS * chance.between(0.5, 1.5))
        await check_once(fleet)


async def check_once(fleet: Fleet) -> None:
    """Check each open breaker that nobody is probing, all at the same time."""
    now_ms = clock_ms()
    due = [
        id
        for id, record in list(fleet.records.items())
        if record.circuit.open and record.tenant_id is not None and record.circuit.admits(Asker.CHECK, now_ms)
    ]
    await asyncio.gather(*(_check(fleet, id) for id in due))


async def _check(fleet: Fleet, deployment_id: UUID) -> None:
    """A deployment is reached as it was for the tenant whose call this process saw last."""
    record = fleet.records[deployment_id]
    token = None
    verdict = Verdict.NONE
    try:
        list_models = LISTINGS.get(record.adapter)
        if list_models is None or record.tenant_id is None:
            return
        access = (await database_step(selectors.snapshot, record.tenant_id)).access(deployment_id)
        if access is None:
            return
        token = await fleet.ask(deployment_id, Asker.CHECK)
        if not token:
            return
        await list_models(access, "the provider", timeout_seconds=_TIMEOUT_SECONDS)
        verdict = Verdict.OK
    except ProviderMisconfigured:
        pass  # it has no list
    except ProviderFailed as error:
        verdict = verdict_on(error)
    except Exception as error:
        # The database is away, or a key cannot be opened: nothing about the provider.
        log.warning("check.failed", deployment_id=str(deployment_id), error=type(error).__name__)
    finally:
        if token:
            fleet.took(deployment_id, verdict, token, check=True)
