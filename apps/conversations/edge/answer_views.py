"""Answers as the page draws them: state, outcome and figures in words.

For answers that end while somebody looks on, static/js/facts.js and lane.js use the same words.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from apps.conversations.contracts import AnswerRow, GenerationState, LaneRow, PromptRow, QuestionRow, Sent, TurnRow
from apps.conversations.edge.html import rendered_answer

NANOUSD_PER_USD = 1_000_000_000

STATES = {
    GenerationState.QUEUED: "waiting",
    GenerationState.RUNNING: "waiting",
    GenerationState.COMPLETED: "done",
    GenerationState.PARTIAL: "stopped",
    GenerationState.CANCELLED: "stopped",
    GenerationState.FAILED: "failed",
}
EXCLUSIONS = {
    "disabled": "Left out: switched off",
    "unpriced": "Left out: it has no price",
    "context": "Left out: the chat is longer than it can read",
    "residency": "Left out: prompts may not be processed there",
    "tools": "Left out: it cannot call tools",
    "vision": "Left out: it cannot look at pictures",
    "json_schema": "Left out: it cannot be held to a schema",
    "language": "Left out: it does not answer well in this language",
    "safety_class": "Left out: of a lower safety class",
    "cost": "Left out: likely above the cost ceiling",
    "budget": "Left out: it could cost more than the budget has left",
    "breaker_open": "Left alone: it failed again and again just before",
    "pool_full": "Had no room, and its line was full",
    "no_adapter": "Could not be called by the worker that answered",
    "not_offered": "Left out: not offered to you",
}
SENT = {
    Sent.AS_SHOWN: "Exactly as it was sent.",
    Sent.NOT_YET: "Not sent yet.",
    Sent.FROM_CACHE: "Not sent to a model: the answer came from the cache. This is what was looked up.",
    Sent.REPLACED: "As the chat keeps it. Your workspace’s safety rules put placeholders like [e-mail 1] in the place "
    "of some passages before it was sent.",
    Sent.ERASED: "Not as it was sent: something of it was erased since.",
}
FALLBACKS = {
    "any": "Held back, in case the others fail",
    "context": "Held back, in case the chat is too long for the others",
    "overloaded": "Held back, in case the others are overloaded",
    "content_filter": "Held back, in case the others refuse the question",
}


@dataclass(frozen=True, slots=True)
class AnswerView:
    """An answer as `conversations/_lane.html` draws it. `state` is waiting, done, stopped, failed or absent."""

    lane: int
    model_slug: str
    model_name: str
    hue: int
    state: str
    generation_id: UUID | None = None
    message_id: UUID | None = None
    html: SafeString | str = ""
    text: str = ""
    reasoning: str = ""
    seconds: str = ""
    outcome: str = ""
    outcome_title: str = ""
    outcome_text: str = ""
    facts: tuple[str, ...] = ()
    from_cache: bool = False
    why: dict[str, Any] | None = None


BROKE_OFF = "The answer broke off here. What arrived is kept."
HELD_BACK = "Your workspace’s safety rules hold back the rest of this answer. “Why this model” names the rule."
_DONE = {"flag": "noted", "redact": "replaced", "block": "blocked"}


def screened_words(verdict: dict[str, Any]) -> str:
    """What a rule found and what was done about it, in a line."""
    times = f", {verdict['count']} times" if verdict["count"] > 1 else ""
    way, done = verdict["direction"].capitalize(), _DONE[verdict["action"]].capitalize()
    score = f"score {verdict['score']}, limit {verdict['threshold']}"
    return f"{way}: {verdict['explanation']} {done}{times}: {score} ({verdict['rule']})."


@dataclass(frozen=True, slots=True)
class TurnView:
    """A question and a cell for every lane of the chat, asked or not."""

    id: UUID | str
    seq: int
    question: QuestionRow
    answers: tuple[AnswerView, ...]


def turn_view(row: TurnRow, lanes: Iterable[LaneRow]) -> TurnView:
    by_lane = {answer.lane: _answer_view(answer) for answer in row.answers}
    cells = (
        by_lane.get(lane.position)
        or AnswerView(lane.position, lane.model_slug, lane.model_name, lane.hue, state="absent")
        for lane in lanes
    )
    return TurnView(row.id, row.seq, row.question, tuple(cells))


def _answer_view(row: AnswerRow) -> AnswerView:
    if not row.state.terminal:
        return AnswerView(
            row.lane, row.model_slug, row.model_name, row.hue, "waiting", row.generation_id, row.message_id
        )
    outcome, title, text = _outcome(row)
    return AnswerView(
        lane=row.lane,
        model_slug=row.model_slug,
        model_name=row.model_name,
        hue=row.hue,
        state=STATES[row.state],
        generation_id=row.generation_id,
        message_id=row.message_id,
        html=mark_safe(rendered_answer(row)),  # noqa: S308 - the renderer's last step is its sanitiser
        text=row.text,
        reasoning=row.reasoning,
        seconds="" if row.total_ms is None else _seconds(row.total_ms),
        outcome=outcome,
        outcome_title=title,
        outcome_text=text,
        facts=_facts(row),
        from_cache=bool(row.route.get("cache")),
        why=_why(row) if row.route else None,
    )


def _outcome(row: AnswerRow) -> tuple[str, str, str]:
    """How the answer ended, where that needs words: (kind, title, text)."""
    match row.state:
        case GenerationState.FAILED:
            return "failed", f"{row.model_name} could not answer.", row.error_message or ""
        case GenerationState.PARTIAL:
            return "partial", HELD_BACK if row.finish_reason == "content_filter" else BROKE_OFF, ""
        case GenerationState.CANCELLED:
            kept = "Stopped by you, partial answer kept." if row.text else "Stopped before the first word."
            return "stopped", kept, ""
    return "", "", ""


def _facts(row: AnswerRow) -> tuple[str, ...]:
    """The figures under an answer, behind the name of the model where that is not the one on top."""
    facts = []
    if (by := row.route.get("answered_by")) and by["slug"] != row.route.get("model"):
        facts.append(by["name"])
    if row.route.get("cache"):
        facts.append("Served from cache")
    if row.first_token_ms is not None:
        facts.append(f"{_seconds(row.first_token_ms)} to first token")
    if row.usage.get("input_tokens"):
        about = "about " if row.usage.get("estimated") else ""
        facts.append(f"{about}{row.usage['input_tokens']:,} in, {row.usage.get('output_tokens', 0):,} out")
    if row.cost_nanousd is not None and row.usage.get("input_tokens"):
        facts.append(_cost(row.cost_nanousd) + (", simulated" if row.simulated else ""))
    return tuple(facts)


def _why(row: AnswerRow) -> dict[str, Any]:
    """The route as sentences: who could have answered, who did, at what price, and what was tried."""
    attempts, excluded = row.route.get("attempts", []), row.route.get("excluded", [])
    told = [{"name": one["model"], **one, "price": _candidate_price(one)} for one in row.route.get("candidates", [])]
    choice = row.route.get("choice")
    ranked = {one["model"]: _counted(choice["kind"], one) for one in choice["ranking"]} if choice else {}
    for candidate in told:
        candidate["counted"] = ranked.get(candidate.get("slug"), "")
        candidate["where"] = _where(candidate)
        tries = [one for one in attempts if _place(one) == _place(candidate)]
        candidate["outcome"] = "; ".join(_tried(one) for one in tries) or _not_tried(candidate, row.route)
        candidate["cost"] = _would_cost(candidate) if row.usage.get("input_tokens") else ""
    considered = {_place(one) for one in told}
    for one in excluded:
        if _place(one) in considered:
            continue
        reason = EXCLUSIONS.get(one["reason"], f"Left out: {one['reason']}")
        told.append({"name": one["model"], "where": one["provider"], "outcome": reason, "price": "", "cost": ""})
    count = len(attempts)
    shown = row.route.get("prompt", {})
    left_out = _left_out(shown.get("turns_left_out", 0), shown.get("turns_summarised", 0))
    facts = [("Shown", left_out)] if left_out else []
    calls = f"{count} {'call' if count == 1 else 'calls'} to a provider" if count else "No provider was called"
    facts += [("Attempts", calls)]
    if hit := row.route.get("cache"):
        facts += _served(hit)
    facts += [("Screened", screened_words(one)) for one in row.route.get("safety", [])]
    if choice and (hard := choice.get("difficulty")):
        parts = ", ".join(f"{name} {points}" for name, points in hard["parts"].items())
        facts.append(("Difficulty", f"{hard['score']} of 100" + (f": {parts}" if parts else "")))
    asked = f"You asked for {row.model_name} by name, so no other model was considered."
    by = row.route.get("answered_by")
    return {
        "name": by["name"] if by else row.model_name,
        "summary": f"{row.model_name}: {choice['rule']}" if choice else asked,
        "candidates": told,
        "facts": tuple(facts),
        "prompt_url": reverse("chat_prompt", args=[row.generation_id]) if shown else "",
    }


def _counted(kind: str, one: dict[str, Any]) -> str:
    """The figure by which a policy put a model in its place."""
    figures = {
        "cheapest": f"likely {_cost(one['likely_cost_nanousd'])}",
        "fastest": _measured(one),
        "weighted": f"weight {one['share']:g}" if one.get("share") is not None else "",
        "auto": f"strength {one['strength']}" if one.get("strength") is not None else "strength unknown",
        "leaderboard": f"rated {one['rating']:g}" if one.get("rating") is not None else "no votes yet",
    }
    told = [figures.get(kind, ""), "slower than wanted" if one.get("late") else ""]
    return ", ".join(figure for figure in told if figure)


def _measured(one: dict[str, Any]) -> str:
    if one.get("first_token_ms") is None:
        return "not measured yet"
    pace = f", then {one['tokens_per_second']:.0f} tokens a second" if one.get("tokens_per_second") else ""
    return f"first word after {_seconds(one['first_token_ms'])}{pace}"


def prompt_view(row: PromptRow) -> dict[str, Any]:
    """A prompt as `conversations/_prompt.html` draws it: its messages by who speaks, and what is not among them."""
    named = {"system": "Told beforehand", "user": "You", "assistant": "Answer"}
    return {
        "messages": [{"who": named.get(one["role"], one["role"]), **one} for one in row.messages],
        "left_out": _left_out(row.left_out, row.summarised),
        "proof": SENT[row.sent],
        "sha256": row.sha256,
        "max_output_tokens": row.max_output_tokens,
    }


def _left_out(left_out: int, summarised: int) -> str:
    """What of the chat the model was not shown, in one sentence; empty where it was shown everything."""
    if not left_out:
        return ""
    earlier = "1 earlier question" if left_out == 1 else f"{left_out:,} earlier questions"
    if not summarised:
        return f"{earlier} with what answered them did not fit and were left out."
    if summarised == left_out:
        return f"{earlier} did not fit; a summary stands for them."
    return f"{earlier} did not fit; a summary stands for the first {summarised:,}, the others were left out."


def _served(hit: dict[str, Any]) -> list[tuple[str, str]]:
    """Of an answer that came from a cache: what it was found by, how old it is, and what it saved."""
    found = "the same question" if hit["kind"] == "exact" else f"a question {hit['similarity']:.0%} alike"
    saved = _cost(round(float(hit["saved_usd"]) * NANOUSD_PER_USD))
    tokens = f"{hit['saved_input_tokens']:,} tokens in, {hit['saved_output_tokens']:,} out"
    return [
        ("Served from cache", f"The answer to {found}, given {_ago(hit['age_seconds'])} ago"),
        ("Saved", tokens if saved == "Free" else f"{saved}: {tokens}"),
    ]


def _ago(seconds: int) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if count := seconds // length:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def _where(candidate: dict[str, Any]) -> str:
    """The provider, and the name it knows the model by, where that is another one."""
    known_as = [candidate["model"]] if candidate["model"] != candidate.get("slug", candidate["model"]) else []
    return " · ".join([candidate["provider"], *known_as])


def _not_tried(candidate: dict[str, Any], route: dict[str, Any]) -> str:
    """Why a candidate was not called: it was left alone, it was held back, or another one answered."""
    for one in route.get("excluded", []):
        if _place(one) == _place(candidate):
            return str(EXCLUSIONS.get(one["reason"], one["reason"]))
    if route.get("cache"):
        return "Not called: the cache had the answer"
    kind = candidate.get("after")
    return FALLBACKS.get(kind, "Not needed") if kind else "Not needed"


def _would_cost(candidate: dict[str, Any]) -> str:
    usd = candidate.get("would_cost_usd")
    return _cost(round(float(usd) * NANOUSD_PER_USD)) if usd is not None else ""


def _place(one: dict[str, Any]) -> tuple[str, str]:
    return one["provider"], one["model"]


def _tried(attempt: dict[str, Any]) -> str:
    words = {"won": "Answered", "failed": "Failed", "cancelled": "Stopped"}.get(attempt["state"], attempt["state"])
    error = f" ({attempt['error'].replace('_', ' ')})" if attempt.get("error") else ""
    return f"{words}{error} in {_seconds(attempt['duration_ms'])}"


def _candidate_price(candidate: dict[str, Any]) -> str:
    """Its price in a column whose head says what the two figures are."""
    into, out = candidate.get("input_usd_per_mtok"), candidate.get("output_usd_per_mtok")
    return "no price" if into is None or out is None else f"${float(into):.2f} / ${float(out):.2f}"


def price(input_usd: Any, output_usd: Any) -> str:
    if input_usd is None or output_usd is None:
        return "no price"
    return f"${float(input_usd):.2f} in, ${float(output_usd):.2f} out"


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.2f} s" if ms < 10_000 else f"{ms / 1000:.1f} s"


def _cost(nanousd: int) -> str:
    usd = nanousd / NANOUSD_PER_USD
    if nanousd == 0:
        return "Free"
    if usd < 0.0001:
        return "< $0.0001"
    return f"${usd:.4f}" if usd < 0.01 else f"${usd:.3f}" if usd < 1 else f"${usd:.2f}"
