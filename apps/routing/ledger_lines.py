"""What attempts at providers are in the ledger."""

from apps.billing.contracts import LedgerLine, LineKind
from apps.routing.contracts import AttemptEnd


def ledger_line(end: AttemptEnd, kind: LineKind) -> LedgerLine:
    """What the attempt used, priced by the candidate's price fixed at admission."""
    usage = end.usage
    return LedgerLine(
        attempt_id=end.attempt_id,
        kind=kind,
        provider=end.candidate.provider,
        model=end.candidate.model,
        price_id=end.candidate.price.id,
        input_tokens=usage.input_tokens,
        cached_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        amount_nanousd=end.candidate.price.amount_nanousd(usage),
        estimated=usage.estimated,
    )
