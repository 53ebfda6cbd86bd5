"""How hard a question looks, from its structure alone: no model is asked, and every part of the sum can be shown.

The features are those that published routers found to matter most besides embeddings: length, code, mathematics,
several demands at once, and words that ask for reasoning. The weights are ours, and `evaluate_router` measures what
they are worth on a tenant's own questions.
"""

import re

from apps.routing.contracts import Difficulty

_LONG_BYTES = 1_200
_VERY_LONG_BYTES = 6_000

# No pattern may run long on a text made to hurt it: repetitions are bounded, and none crosses a line.
_READ_CHARACTERS = 8_000
_CODE = re.compile(
    r"```|^[ \t]{4,12}\S|\b(?:def|class|function|return|SELECT|import)\b[^\n]{0,80}?[(;:{]|[{};][ \t]{0,8}$",
    re.MULTILINE,
)
_MATHS = re.compile(
    r"\$[^$\n]{1,200}\$|\\(?:frac|int|sum|sqrt)|\b(?:integral|derivative|eigenvalue|theorem|lemma)\b|[∑∫√≤≥]"
)
_REASONING = re.compile(
    r"\b(?:prove|derive|why|compare|trade-?offs?|step by step|optimi[sz]e|debug|refactor|analy[sz]e|design|plan"
    r"|architecture|complexity|explain how|evaluate|critique"
    r"|beweise|warum|vergleiche|entwirf|optimiere|pourquoi|comparez?|analysez?|demuestra|por qué|compara|analiza)\b",
    re.IGNORECASE,
)
_DEMANDS = re.compile(r"^[ \t]{0,8}(?:[-*•]|\d{1,3}[.)])[ \t]{1,4}\S", re.MULTILINE)
_CONSTRAINTS = re.compile(
    r"\b(?:must(?: not)?|exactly|at (?:most|least)|only|without|unless|except|no more than|muss|genau|höchstens"
    r"|sans|uniquement|sin|exactamente)\b",
    re.IGNORECASE,
)


def difficulty(question: str, *, turns_before: int = 0, tools: bool = False) -> Difficulty:
    """The score of a question, 0 to 100, and its parts. `turns_before`: questions asked before it in the chat."""
    size = len(question.encode("utf-8", "surrogatepass"))
    question = question[:_READ_CHARACTERS]
    parts = {
        "length": 20 if size >= _VERY_LONG_BYTES else 10 if size >= _LONG_BYTES else 0,
        "code": 20 if _CODE.search(question) else 0,
        "mathematics": 25 if _MATHS.search(question) else 0,
        "reasoning": min(30, 15 * len(set(map(str.lower, _REASONING.findall(question))))),
        "demands": min(15, 5 * max(0, len(_DEMANDS.findall(question)) - 1)),
        "constraints": min(15, 5 * len(_CONSTRAINTS.findall(question))),
        "conversation": min(10, 2 * turns_before),
        "tools": 10 if tools else 0,
    }
    told = {name: points for name, points in parts.items() if points}
    return Difficulty(min(100, sum(told.values())), told)
