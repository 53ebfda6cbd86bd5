"""What is done about findings, by the tenant's limits."""

from collections.abc import Iterable
from dataclasses import dataclass

from apps.safety.contracts import Action, Finding, Limit, Limits


@dataclass(frozen=True, slots=True)
class Ruling:
    """A finding and what is done about it, and from which score on that is so."""

    finding: Finding
    action: Action
    threshold: int


def rule_on(findings: Iterable[Finding], limits: Limits) -> list[Ruling]:
    """The findings that reach their category's threshold, each with its action."""
    return [
        Ruling(finding, limit.action, limit.threshold)
        for finding in findings
        if (limit := limits.get(finding.category, _NOTHING)).action is not Action.ALLOW
        and finding.score >= limit.threshold
    ]


_NOTHING = Limit(Action.ALLOW, 100)
