"""Instructions aimed at the model: orders to drop its rules, to give away its prompt, text hidden from people, and
pictures that carry data away."""

import base64
import binascii
import re

from apps.safety.contracts import Category, Rule, View
from apps.safety.rules.patterns import GAP, any_of, phrase, words

_I = Category.INJECTION
_LABEL = "instruction"
_RULES_OF = any_of(
    "instructions?",
    "prompts?",
    "rules?",
    "directions?",
    "directives?",
    "guidelines?",
    "policies",
    "programming",
    "constraints?",
    "restrictions?",
    "orders",
    "training",
)
_EARLIER = any_of(
    "previous",
    "prior",
    "above",
    "earlier",
    "preceding",
    "foregoing",
    "system",
    "initial",
    "original",
    "safety",
    "existing",
    "current",
    "developer'?s?",
    "former",
    "your",
    "hidden",
)
_UNBOUND = any_of("unrestricted", "uncensored", "unfiltered", "jailbroken", "amoral", "unlimited", "evil", "lawless")
_SECRET_TEXT = any_of(
    rf"system{GAP}(?:prompt|message|instructions?)",
    rf"(?:initial|hidden|original|secret|internal|first){GAP}(?:prompt|instructions?|message)",
    rf"(?:prompt|instructions?|text|words|everything){GAP}(?:above|before{GAP}this)",
)

_PAYLOAD = re.compile(
    r"(?i)ignore (?:all |any |the |your )*(?:previous|prior|above)|system prompt|disregard (?:all|any|the|your"
    r"|previous)|you are now|new instructions"
)


def _encoded(match: re.Match[str]) -> int | None:
    """Whether a base64 run says something like an instruction."""
    text = match[0].rstrip("=")
    try:
        plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_" if set(text) & set("-_") else None)
        said = plain.decode("utf-8", errors="ignore")
    except (ValueError, binascii.Error):
        return None
    return 85 if _PAYLOAD.search(said) else None


_DATA = re.compile(r"[?&][^=&)\s]{1,40}=([^)\s]*)")


def _picture(match: re.Match[str]) -> int:
    """A picture's address that carries much data, or room for some, looks like a way out."""
    data = _DATA.search(match["markdown"] or match["tag"])
    if data is None:
        return 15
    value = data[1]
    if (
        re.search(r"(?i)\{|%7b|\[|<|data|secret|prompt|history|conversation|summary|password", value)
        or len(value) >= 48
    ):
        return 75
    return 40 if len(value) >= 16 else 20


def _tags(match: re.Match[str]) -> int | None:
    """Flags of regions are spelled in tag characters too; they follow a black flag and are short."""
    before = match.string[match.start() - 1 : match.start()]
    return None if before == "\U0001f3f4" and len(match[0]) <= 8 else 95


INJECTION_RULES: tuple[Rule, ...] = (
    phrase(
        "injection.ignore_rules",
        _I,
        80,
        _LABEL,
        "It tells the model to drop the instructions it was given.",
        (
            "ignore",
            "disregard",
            "forget",
            "override",
            "bypass",
            "do not follow",
            "don't follow",
            "stop following",
            "discard",
        ),
        rf"(?:{GAP}(?:all|any|every|everything|the|of|these|those|my|its|about|completely|that|was"
        rf"|in)){{0,5}}{GAP}{_EARLIER}"
        rf"(?:{GAP}(?:and|or|safety|system|previous|earlier|developer|content)){{0,3}}{GAP}{_RULES_OF}\b",
    ),
    phrase(
        "injection.ignore_rules_translated",
        _I,
        80,
        _LABEL,
        "It tells the model, in another language, to drop the instructions it was given.",
        (
            "ignoriere",
            "ignorieren sie",
            "vergiss",
            "missachte",
            "ignorez",
            "ignore",
            "oubliez",
            "oublie",
            "ignora",
            "olvida",
            "dimentica",
            "ignoreer",
        ),
        rf"{words(3)}{GAP}(?:anweisung\w{{0,4}}|vorgaben|regeln|instructions?{GAP}(?:precedentes?|anterieures?)"
        rf"|consignes?|instrucciones"
        rf"|istruzioni|instructies|reglas)\b",
    ),
    phrase(
        "injection.new_role",
        _I,
        75,
        _LABEL,
        "It gives the model a role without rules.",
        ("you are", "you're", "act as", "pretend", "behave as", "roleplay as", "simulate", "become", "respond as"),
        rf"{words(5)}{GAP}(?:{_UNBOUND}|dan\b|(?:without|no|free{GAP}(?:of|from)){GAP}(?:any{GAP}"
        rf"|all{GAP})?(?:restrictions?|limits|limitations?|filters?"
        rf"|rules|guidelines|censorship|ethic\w{{0,5}}|safety))",
    ),
    phrase(
        "injection.jailbreak",
        _I,
        75,
        _LABEL,
        "It uses a known phrase for switching a model's rules off.",
        (
            "do anything now",
            "developer mode",
            "jailbreak mode",
            "god mode",
            "dan mode",
            "sudo mode",
            "debug mode",
            "unrestricted mode",
            "no restrictions mode",
        ),
        rf"(?:{words(3)}{GAP}(?:enabled|activated|on|unlocked)\b|(?<=anything now))",
    ),
    phrase(
        "injection.from_now_on",
        _I,
        40,
        _LABEL,
        "It tells the model how to behave from now on.",
        ("from now on", "for the rest of this", "henceforth"),
        rf"{words(3)}{GAP}you{GAP}(?:will|must|are|shall|have{GAP}to)\b",
    ),
    phrase(
        "injection.system_prompt",
        _I,
        65,
        _LABEL,
        "It asks for the text that the model was instructed with.",
        (
            "reveal",
            "show",
            "print",
            "repeat",
            "output",
            "display",
            "leak",
            "dump",
            "expose",
            "tell",
            "give",
            "write",
            "what",
            "recite",
            "copy",
            "return",
        ),
        rf"(?:{GAP}(?:me|us|out|is|are|was|were|the|your|my|all|of|to|exact|full|whole|entire|complete|verbatim"
        rf"|back|down|contents?|everything|in)){{0,6}}"
        rf"{GAP}{_SECRET_TEXT}\b",
        needs=("prompt", "instruction", "above", "message", "before"),
    ),
    phrase(
        "injection.addressed",
        _I,
        55,
        _LABEL,
        "It speaks to a model that may read it, and tells it to act.",
        (
            "assistant",
            "ai",
            "ai assistant",
            "language model",
            "llm",
            "chatgpt",
            "claude",
            "gpt",
            "copilot",
            "attention ai",
        ),
        rf"(?:[:,]|{GAP}reading{GAP}this[:,]?){GAP}(?:please{GAP}|you{GAP}must{GAP}|immediately{GAP})?"
        rf"(?:ignore|forward|email|send|execute|delete|reveal|exfiltrate|do{GAP}not{GAP}(?:tell|mention|inform))\b",
    ),
    Rule(
        "injection.fake_turn",
        _I,
        60,
        _LABEL,
        "It imitates the marks between a model's system text and a person's.",
        re.compile(
            r"<\|(?:im start|im end|start header id|system|endoftext|eot id)\|>|\[/?inst\]|<</?sys>>|#{2,4} "
            r"?(?:system|instruction):",
            re.ASCII,
        ),
        re.compile(r"[<\[#]"),
        re.compile(r"[^\n]*+"),
        view=View.PHRASE,
        bound=40,
        needs=("<|", "inst]", "sys>>", "##"),
        answers=False,
    ),
    Rule(
        "injection.encoded",
        _I,
        85,
        _LABEL,
        "It is an instruction written in base64.",
        re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{24,1200}+={0,2}+"),
        re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]"),
        re.compile(r"[A-Za-z0-9+/_=-]*+"),
        bound=1203,
        judge=_encoded,
        answers=False,
    ),
    Rule(
        "injection.picture",
        _I,
        75,
        "picture",
        "It is a remote picture whose address can carry data away.",
        re.compile(
            r"!\[[^\]\n]{0,100}+\]\((?P<markdown>https?://[^)\s]{3,700}+)\)?"
            r"|<img\b[^>\n]{0,60}?\ssrc=[\"']?(?P<tag>https?://[^\s\"'>]{3,700}+)"
        ),
        re.compile(r"!(?:\[|\Z)|<(?:i(?:mg?)?)?\Z|<img\b"),
        re.compile(r"[^\n]*+"),
        bound=830,
        needs=("](http", "<img"),
        judge=_picture,
        ends_visibly=True,
    ),
    Rule(
        "injection.tag_characters",
        _I,
        95,
        "hidden text",
        "It is text in characters that people cannot see and models can read.",
        re.compile("(?<![\U000e0020-\U000e007f])[\U000e0020-\U000e007f]{3,400}+"),
        re.compile("(?<![\U000e0020-\U000e007f])[\U000e0020-\U000e007f]"),
        re.compile("[\U000e0020-\U000e007f]*+"),
        view=View.RAW,
        bound=402,
        judge=_tags,
    ),
    Rule(
        "injection.bidirectional",
        _I,
        60,
        "hidden text",
        "It turns the direction of writing, so that people read something else than models.",
        re.compile("[\u202a-\u202e\u2066-\u2069]{1,20}+"),
        re.compile("[\u202a-\u202e\u2066-\u2069]"),
        re.compile("[\u202a-\u202e\u2066-\u2069]*+"),
        view=View.RAW,
        bound=22,
        judge=lambda match: 60 if set(match[0]) & {"\u202d", "\u202e"} else 20,
    ),
    Rule(
        "injection.zero_width",
        _I,
        55,
        "hidden text",
        "Invisible characters stand where nobody would type them.",
        re.compile("[\u200b\u2060-\u2064\ufeff\u180e]{2,200}+|(?<=[A-Za-z])[\u200b-\u200d\u2060\u00ad](?=[A-Za-z])"),
        re.compile("[\u200b-\u200d\u2060-\u2064\ufeff\u180e\u00ad]"),
        re.compile("[\u200b-\u200d\u2060-\u2064\ufeff\u180e\u00ad]*+"),
        view=View.RAW,
        bound=202,
        judge=lambda match: 55 if len(match[0]) >= 4 else 35,
    ),
)
