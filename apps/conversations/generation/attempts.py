"""The rows that stand for provider calls: written before each call, closed with their ledger line.

The database decides whether a call may be made at all: the row is inserted only while the generation is running, under
this fence, and nobody asked to cancel. So no provider call can begin after a cancel or a takeover.
"""

from uuid import UUID

from django.db import connections

from apps.billing import services as billing
from apps.billing.contracts import LedgerLine, LineKind
from apps.conversations.errors import CancelAsked, Fenced
from apps.conversations.generation.claim import Claimed
from apps.conversations.models import Attempt
from apps.routing.contracts import AttemptEnd, Candidate
from apps.tenants.scope import tenant_scope

_BEGIN = """
WITH mine AS (
    SELECT id, cancel_at FROM conversations_generation
    WHERE id = %(generation)s AND state = 'running' AND fence = %(fence)s AND owner = %(worker)s FOR UPDATE
), begun AS (
    INSERT INTO conversations_attempt
        (id, tenant_id, generation_id, fence, number, deployment_id, provider, model_slug, price_id,
         input_tokens_bound, output_tokens_bound, amount_bound_nanousd, state, began_at)
    SELECT %(attempt)s, %(tenant)s, mine.id, %(fence)s, %(number)s, %(deployment)s, %(provider)s, %(model)s, %(price)s,
           %(input)s, %(output)s, %(amount)s, 'begun', clock_timestamp()
    FROM mine WHERE mine.cancel_at IS NULL
    ON CONFLICT (id) DO NOTHING
    RETURNING id
)
SELECT count(*), count(*) FILTER (WHERE cancel_at IS NULL) FROM mine
"""


def begin(claimed: Claimed, candidate: Candidate, number: int, attempt_id: UUID) -> None:
    """Write the attempt's row; a repeat after a lost reply finds it there.

    Raises `Fenced` or `CancelAsked` where the call must not be made.
    """
    with tenant_scope(claimed.tenant_id), connections["default"].cursor() as cursor:
        cursor.execute(
            _BEGIN,
            {
                "generation": claimed.generation_id,
                "tenant": claimed.tenant_id,
                "fence": claimed.fence,
                "worker": claimed.worker_id,
                "attempt": attempt_id,
                "number": number,
                "deployment": candidate.deployment_id,
                "provider": candidate.provider,
                "model": candidate.model,
                "price": candidate.price.id,
                "input": candidate.input_tokens_bound,
                "output": candidate.output_tokens_bound,
                "amount": candidate.amount_bound_nanousd,
            },
        )
        mine, allowed = cursor.fetchone() or (0, 0)
    if not mine:
        raise Fenced
    if not allowed:
        raise CancelAsked


def close(end: AttemptEnd) -> None:
    """Write how an attempt ended. Demands the tenant's transaction."""
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_attempt SET state = %s, error_code = %s, ended_at = clock_timestamp(), "
            "first_token_at = began_at + make_interval(secs => %s) WHERE id = %s AND state = 'begun'",
            [end.state.value, end.error_code, end.first_token_seconds, end.attempt_id],
        )


def close_unmade(generation_id: UUID) -> list[LedgerLine]:
    """Close rows whose begin was given up before it was known to be written, so that their calls were never made.

    Call it in the transaction that ends the generation, after `close`: that transaction's lock lets no begin through.
    Returns their ledger lines, of nothing used.
    """
    with connections["default"].cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_attempt SET state = 'cancelled', ended_at = clock_timestamp() "
            "WHERE generation_id = %s AND state = 'begun' RETURNING id, provider, model_slug, price_id",
            [generation_id],
        )
        return [
            LedgerLine(attempt, LineKind.ABSORBED, provider, model, price)
            for attempt, provider, model, price in cursor.fetchall()
        ]


def write_off(generation_ids: list[UUID]) -> None:
    """Mark attempts that died with their worker as lost, and absorb what they may have cost.

    Demands a transaction on `engine`. Nobody saw the provider's usage, so the line carries the bound that was reserved,
    flagged as an estimate.
    """
    lost = (
        Attempt.objects.using("engine")
        .select_for_update(of=("self",))
        .filter(generation_id__in=generation_ids, state=Attempt.State.BEGUN)
    )
    rows = list(
        lost.values_list(
            "id", "tenant_id", "generation_id", "generation__user_id", "generation__api_key_id", "provider",
            "model_slug", "price_id", "input_tokens_bound", "output_tokens_bound", "amount_bound_nanousd",
        )
    )  # fmt: skip
    if not rows:
        return
    Attempt.objects.using("engine").filter(id__in=[row[0] for row in rows]).update(state=Attempt.State.LOST)
    for attempt, tenant, call, user, key, provider, model, price, tokens_in, tokens_out, amount in rows:
        billing.append_lines(
            tenant_id=tenant,
            user_id=user,
            api_key_id=key,
            call_id=call,
            lines=[
                LedgerLine(
                    attempt,
                    LineKind.ABSORBED,
                    provider,
                    model,
                    price,
                    input_tokens=tokens_in,
                    output_tokens=tokens_out,
                    amount_nanousd=amount,
                    estimated=True,
                )
            ],
            using="engine",
        )
