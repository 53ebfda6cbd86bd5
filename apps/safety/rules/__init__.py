"""All rules, and the choice of those that a tenant's limits ask for."""

from functools import lru_cache

from apps.safety.contracts import Action, Category, Direction, Limit, Limits, Rule
from apps.safety.rules.abuse import ABUSE_RULES
from apps.safety.rules.injection import INJECTION_RULES
from apps.safety.rules.pii import PII_RULES
from apps.safety.rules.secrets import SECRET_RULES

ALL_RULES: tuple[Rule, ...] = (*SECRET_RULES, *PII_RULES, *ABUSE_RULES, *INJECTION_RULES)


def rules_for(limits: Limits, direction: Direction) -> tuple[Rule, ...]:
    """The rules that can reach a threshold at which something is done."""
    return _chosen(tuple(sorted(limits.items())), direction)


@lru_cache(maxsize=512)
def _chosen(limits: tuple[tuple[Category, Limit], ...], direction: Direction) -> tuple[Rule, ...]:
    asked = {category: limit.threshold for category, limit in limits if limit.action is not Action.ALLOW}
    return tuple(
        rule
        for rule in ALL_RULES
        if rule.score >= asked.get(rule.category, 101) and (rule.answers or direction is Direction.PROMPT)
    )
