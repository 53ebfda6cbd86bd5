"""What a text holds that it should not: secrets, personal data, abuse, and instructions aimed at a model.

A library without tables: text in, findings out. Rules are patterns of bounded length, so a text that arrives in pieces
is judged exactly like the whole, and no text takes more than linear time.
"""

from apps.safety.contracts import Action, Category, Direction, Finding, Limit, Limits
from apps.safety.deciding import Ruling, rule_on
from apps.safety.redaction import Placeholders, redact
from apps.safety.rules import ALL_RULES, rules_for
from apps.safety.scanning import Scanner, scan

__all__ = [
    "ALL_RULES",
    "Action",
    "Category",
    "Direction",
    "Finding",
    "Limit",
    "Limits",
    "Placeholders",
    "Ruling",
    "Scanner",
    "redact",
    "rule_on",
    "rules_for",
    "scan",
]
