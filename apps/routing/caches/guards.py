"""What must agree before two questions may share an answer, however alike a model finds them.

Sentence embeddings measure what a text is about. They hardly see a changed number, a negation or a swapped direction,
which change the answer entirely. So a hit needs more than a cosine: numbers, negations, what is quoted or spelled like
code, names, the kind of question, what stands on which side of a direction, and in the end every word of content must
agree. A question that is refused here costs a provider call; a wrong answer would cost trust.
"""

import json
import re
import unicodedata
from dataclasses import astuple, dataclass
from functools import lru_cache

from apps.routing.caches.wording import (
    ADDRESS,
    ALIKE,
    ASKING,
    CARRYING,
    DIRECTIONS,
    ENDINGS,
    LIGHT,
    NEGATIONS,
    NUMBERS,
    TIMES,
    YES_OR_NO,
)

# Part of the evidence: raise it with every change here or in `wording`, and measure again.
VERSION = 2

# Longer ones hold more than one question; to compare them word by word would be slow and seldom right.
MAX_CHARACTERS = 1_000
_SHORTEST_STEM = 4
# So many words of content can say who does what to whom.
_DIRECTED_FROM = 3

_QUOTED = re.compile(r"`[^`]{1,400}`|\"[^\"\n]{1,400}\"|“[^”\n]{1,400}”|«[^»\n]{1,400}»|„[^“”\n]{1,400}[“”]")
# A minus before a number makes another of it; between two, or after a word, it is a hyphen.
_NUMBER = re.compile(r"(?:(?<![\w)])(?<!\d )[-−±])?\d+(?:[.,:]\d+)*")
_SPELLED = re.compile(
    r"(?<!\S)\S*(?:[_/\\@#<>{}=+*^~$%&|]|\w\.\w|\w\(|::|--)\S*|\b[a-z]+[A-Z]\w*|\b\w*[A-Za-z]\d\w*|\b\d+[A-Za-z]\w*"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# What separates words and says nothing. Any other sign (≤, €, →, a face, a vowel of Devanagari) may be what matters.
_SILENT = re.compile(r"[\s.,;:!?¿¡…·•()\[\]'’‘\"“”„«»‹›—–、。，；：！？（）「」『』\u200b-\u200f\ufeff\u00ad-]+")
_CONTRACTED = re.compile(r"n['’]t\b", re.IGNORECASE)
_INVERTED = re.compile(r"-(?:t-)?(?:je|tu|ils?|elles?|on|nous|vous|moi|ce)\b", re.IGNORECASE)
_ELIDED = re.compile(r"\b(?:qu|[cdjlmnst])['’]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Marks:
    """What of a question must agree, each in the order it stands in the text unless the order says nothing."""

    numbers: tuple[str, ...]
    quoted: tuple[str, ...]
    negations: int
    asking: frozenset[str]
    content: frozenset[str]
    names: frozenset[str]
    order: tuple[str, ...]


def refusal(one: str, other: str) -> str | None:
    """In which respect the questions differ, in one word; None where nothing speaks against one answer for both."""
    left, right = marks(one), marks(other)
    if left is None or right is None:
        return "length"
    for respect in ("numbers", "quoted", "negations", "asking", "names", "content", "order"):
        if getattr(left, respect) != getattr(right, respect):
            return respect
    # What has no word of its own (“And this one?”) says nothing that could be compared.
    return None if left.content or left.numbers or left.quoted else "content"


def signature(question: str) -> str | None:
    """The marks as one text: equal where no guard tells two questions apart. None where it shares with nobody."""
    found = marks(question)
    if found is None or not (found.content or found.numbers or found.quoted):
        return None
    told = (sorted(value) if isinstance(value, frozenset) else value for value in astuple(found))
    return json.dumps([VERSION, *told], ensure_ascii=False)


@lru_cache(maxsize=4_096)
def marks(question: str) -> Marks | None:
    """The marks of a question; None for one that is too long to be compared."""
    if len(question) > MAX_CHARACTERS:
        return None
    text = unicodedata.normalize("NFKC", question)
    quoted = [found.group() for found in _QUOTED.finditer(text)]
    text = _QUOTED.sub(" ", text)
    quoted += [found.group().strip(".,;:!?") for found in _SPELLED.finditer(text)]
    text = _SPELLED.sub(" ", text)
    numbers = [found.group() for found in _NUMBER.finditer(text)]
    text = _NUMBER.sub(" ", _INVERTED.sub(" ", _CONTRACTED.sub(" not", text)))
    text = _ELIDED.sub(lambda found: found.group()[:-1] + " ", text)
    quoted += [sign for sign in _SILENT.split(_WORD.sub(" ", text)) if sign]
    return _of_words(_WORD.findall(text), numbers, quoted)


def _of_words(words: list[str], numbers: list[str], quoted: list[str]) -> Marks:
    plain = [word.casefold().replace("’", "'").removesuffix("'s") for word in words]
    asking = {ASKING[word] for word in plain if word in ASKING}
    if plain and plain[0] in YES_OR_NO and not asking and not ADDRESS & set(plain[1:2]):
        asking.add("yes or no")
    # At the beginning “was” is German for “what”.
    asking |= {TIMES[word] for place, word in enumerate(plain) if word in TIMES and (place or word != "was")}
    names, content = set(), []
    for place, (word, lowered) in enumerate(zip(words, plain, strict=True)):
        is_acronym = len(word) > 1 and word.isupper()
        if not is_acronym and (lowered in LIGHT or lowered in ASKING or lowered in TIMES or lowered in NEGATIONS):
            continue
        if lowered in NUMBERS:
            numbers.append(NUMBERS[lowered])
            continue
        is_name = is_acronym or (bool(place) and word[0].isupper())
        content.append(_stem(lowered, is_name=is_name))
        if is_name:
            names.add(content[-1])
    directed = bool(DIRECTIONS & set(plain) or ("to" in plain and CARRYING & set(plain)))
    # Who does what to whom is told by the order alone. Which of two names comes first always matters.
    ordered = directed or sum(one not in names for one in content) >= _DIRECTED_FROM
    return Marks(
        numbers=tuple(numbers),
        quoted=tuple(quoted),
        negations=sum(word in NEGATIONS for word in plain),
        asking=frozenset(asking),
        content=frozenset(content),
        names=frozenset(names),
        order=tuple(content) if ordered else tuple(one for one in content if one in names),
    )


def _stem(word: str, *, is_name: bool) -> str:
    word = ALIKE.get(word, word)
    if is_name:
        return word
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word.removesuffix(ending)
            break
    return ALIKE.get(word, word)
