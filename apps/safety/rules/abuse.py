"""Abuse: sentences that threaten, or ask how to harm somebody. A word alone says little and scores little."""

import re

from apps.safety.contracts import Category, Rule
from apps.safety.rules.patterns import GAP, any_of, phrase, words

_A = Category.ABUSE
_LABEL = "passage"

_PERSON = any_of(
    "you",
    "him",
    "her",
    "them",
    "someone",
    "somebody",
    "people",
    "everyone",
    "everybody",
    rf"a{GAP}(?:person|human|man|woman|child|baby)",
    rf"(?:my|your|his|her|their|our|the)(?:{GAP}\w{{1,20}}){{0,2}}?{GAP}(?:wife|husband|boss|neighbou?rs?|ex"
    rf"|girlfriend|boyfriend|mother|mom|mum|father|dad"
    r"|brother|sister|son|daughter|teacher|co-?workers?|colleagues?|room-?mate|family|kids?|child(?:ren)?|baby"
    r"|partner|classmates?|students?|parents)",
)
_ABOUT = re.compile(
    r"\b(?:chess|game|games|match|round|tournament|fortnite|minecraft|poker|tennis|laugh\w*|joke|kindness"
    r"|character|novel|story|scene|npc)\b"
)
_CARE = re.compile(
    r"\b(?:abus\w*|assault\w*|educat\w*|health|trauma\w*|prevent\w*|violence|offend\w*|exploit\w*|protect\w*"
    r"|report\w*|law|laws|legal|signs|symptoms|"
    r"surviv\w*|help|therap\w*|victims?|research\w*|detect\w*|polic\w*|develop\w*|consent|risk|transmitted"
    r"|statistics)\b"
)


def _unless_in_play(match: re.Match[str]) -> int:
    """What is said of a game or a story is not said to a person."""
    rest = re.match(r"[^.!?\n]{0,60}", match.string[match.end() : match.end() + 61])
    return 25 if _ABOUT.search(match[0] + (rest[0] if rest else "")) else 75


def _unless_in_care(match: re.Match[str]) -> int:
    """Words about children and sexuality next to words of care, law or study are no demand."""
    return 15 if _CARE.search(match[0]) else 95


_HARMLESS_BOMBS = any_of(
    "bath", "photo", "cherry", "love", "seed", "zip", "fork", "logic", "glitter", "smoke", "f", "truth", "calorimeter"
)
_WEAPON = any_of(
    r"(?:pipe|nail|car|petrol|fertili[sz]er|dirty|home-?made|suicide|letter)?[ -]?bombs?\b(?![^\w.!?]?(?:cake"
    r"|costume|drop|shelter|squad|calori\w{1,9}|disposal))",
    "explosives?",
    "molotov",
    r"ied\b",
    "detonator",
    "nerve agent",
    r"nerve gas",
    "sarin",
    "ricin",
    r"vx gas",
    "mustard gas",
    "chemical weapon",
    "biological weapon",
    "anthrax",
    r"meth\b",
    "methamphetamine",
    "crystal meth",
    "ghost gun",
    "untraceable gun",
    "silencer",
)
_MINOR = any_of(
    "child",
    "children",
    "minors?",
    "underage",
    "under-age",
    "preteens?",
    "toddlers?",
    "infants?",
    "schoolgirls?",
    "schoolboys?",
    "little girls?",
    "little boys?",
    rf"(?:[1-9]|1[0-7]|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    rf"|seventeen){GAP}years?{GAP}olds?",
)
_SEXUAL = any_of(
    "sexual(?:ly|ised|ized)?",
    "erotic\\w{0,4}",
    "porn\\w{0,10}",
    "nudes?",
    "naked",
    "sex",
    "sexy",
    "explicit",
    "undress\\w{0,3}",
)
_ASKING = (
    "how",
    "steps",
    "instructions",
    "recipe",
    "guide",
    "tutorial",
    "teach me",
    "show me",
    "explain",
    "tell me",
    "give me",
    "describe",
    "help me",
)


def _no_harmless_bomb(match: re.Match[str]) -> int:
    if re.search(rf"\b{_HARMLESS_BOMBS}{GAP}?bombs?\b", match[0]):
        return 10
    if re.search(
        r"\b(?:police|bomb squad|detect\w*|defus\w*|dispos\w*|recogni\w*|prevent\w*|history|was|were|did|ban"
        r"|banned|law|illegal)\b",
        match[0],
    ):
        return 30
    return 80


ABUSE_RULES: tuple[Rule, ...] = (
    phrase(
        "abuse.threat",
        _A,
        75,
        _LABEL,
        "It announces violence against a person.",
        (
            "i will",
            "i'll",
            "i'm going to",
            "i am going to",
            "i'm gonna",
            "im gonna",
            "im going to",
            "we will",
            "we'll",
            "we are going to",
            "i want to",
            "someone should",
            "somebody should",
        ),
        rf"{words(2)}{GAP}(?:kill|murder|stab|shoot|strangle|rape|beat{GAP}up|burn|hurt|bomb|slaughter|torture"
        rf"|behead){GAP}{_PERSON}\b",
        judge=_unless_in_play,
        answers=True,
    ),
    phrase(
        "abuse.harassment",
        _A,
        70,
        _LABEL,
        "It tells a person to harm or kill themself.",
        (
            "kill yourself",
            "go kill yourself",
            "kys",
            "go die",
            "you should die",
            "you deserve to die",
            "neck yourself",
            "hang yourself",
            "nobody would miss you",
            "slit your wrists",
        ),
        r"\b",
        answers=True,
    ),
    phrase(
        "abuse.weapon",
        _A,
        80,
        _LABEL,
        "It asks how to make a weapon or a forbidden substance.",
        _ASKING,
        rf"{words(5)}{GAP}(?:make|build|making|building|assemble|construct|synthesi[sz]e|synthesi[sz]ing|cook"
        rf"|create|produce|prepare|manufacture)"
        rf"{words(4)}{GAP}{_WEAPON}",
        judge=_no_harmless_bomb,
        needs=(
            "bomb",
            "explosiv",
            "molotov",
            "ied",
            "detonator",
            "nerve",
            "sarin",
            "ricin",
            "vx gas",
            "mustard",
            "weapon",
            "anthrax",
            "meth",
            "gun",
            "silencer",
        ),
    ),
    phrase(
        "abuse.violence",
        _A,
        80,
        _LABEL,
        "It asks how to hurt or kill a person.",
        _ASKING,
        rf"{words(4)}{GAP}(?:kill|murder|poison|strangle|stab|drown|suffocate|kidnap|blackmail|stalk"
        rf"|drug){GAP}{_PERSON}\b",
        judge=lambda match: 45 if re.search(r"\b(?:them|him|her|you)\Z", match[0]) else _unless_in_play(match) + 5,
        needs=(
            "kill",
            "murder",
            "poison",
            "strangle",
            "stab",
            "drown",
            "suffocate",
            "kidnap",
            "blackmail",
            "stalk",
            "drug",
        ),
    ),
    phrase(
        "abuse.self_harm_method",
        _A,
        75,
        _LABEL,
        "It asks for a way to end one's own life.",
        (
            "how",
            "best way",
            "easiest way",
            "painless way",
            "quickest way",
            "ways",
            "method",
            "methods",
            "what is the",
            "what's the",
            "which",
        ),
        rf"{words(6)}{GAP}(?:kill{GAP}myself|end{GAP}my{GAP}(?:own{GAP})?life|commit{GAP}suicide|hang{GAP}myself"
        rf"|overdose{GAP}on|take{GAP}my{GAP}own{GAP}life|hurt{GAP}myself|cut{GAP}myself)\b",
        needs=("myself", "my life", "own life", "suicide", "overdose"),
        judge=lambda match: (
            30
            if re.search(r"\b(?:people|prevent|stop|avoid|accident\w*|signs|many|risk|patients?|helpline)\b", match[0])
            else 75
        ),
    ),
    phrase(
        "abuse.self_harm",
        _A,
        45,
        _LABEL,
        "Somebody says that they want to die; they may need help rather than a refusal.",
        ("i want to", "i'm going to", "i am going to", "i will", "i'm gonna", "i just want to", "i think about"),
        rf"{words(2)}{GAP}(?:die|kill{GAP}myself|killing{GAP}myself|end{GAP}my{GAP}life|end{GAP}it{GAP}all"
        rf"|suicide|hurt{GAP}myself)\b",
        answers=True,
    ),
    phrase(
        "abuse.minors",
        _A,
        95,
        _LABEL,
        "It asks for sexual content about minors.",
        (
            "write",
            "draw",
            "generate",
            "create",
            "describe",
            "show",
            "send",
            "find",
            "give",
            "make",
            "produce",
            "tell",
            "imagine",
            "roleplay",
        ),
        rf"(?:{words(5)}{GAP}{_SEXUAL}{words(5)}{GAP}{_MINOR}|{words(5)}{GAP}{_MINOR}{words(5)}{GAP}{_SEXUAL})\b",
        judge=_unless_in_care,
        needs=("sex", "eroti", "porn", "nude", "naked", "explicit", "undress"),
    ),
    phrase(
        "abuse.minors_described",
        _A,
        95,
        _LABEL,
        "It speaks of minors in a sexual way.",
        ("erotic", "sexy", "naked", "nude", "porn", "pornographic", "child porn", "sexual"),
        rf"(?:{words(4)}{GAP}{_MINOR}\b|(?<=child porn))",
        judge=lambda match: (
            15 if _CARE.search(match[0]) else (95 if re.match(r"erotic|sexy|child porn|porn", match[0]) else 55)
        ),
        answers=True,
    ),
    phrase(
        "abuse.insult",
        _A,
        15,
        _LABEL,
        "It is a rough word; alone it says little.",
        ("idiot", "moron", "retard", "asshole", "bastard", "bitch", "cunt", "whore", "scum", "wanker"),
        r"s?\b",
        answers=True,
    ),
    phrase(
        "abuse.violent_word",
        _A,
        10,
        _LABEL,
        "It is a word of violence; alone it says little.",
        ("kill", "murder", "bomb", "suicide", "rape", "torture", "terrorist", "massacre"),
        r"(?:s|ed|ing|er|ers)?\b",
        answers=True,
    ),
)
