"""TeX to MathML, for input that nobody checked: half-typed, hostile, or not TeX at all."""

import html
import re
from functools import lru_cache
from xml.etree.ElementTree import Element, tostring

from latex2mathml.converter import Converter

from apps.markdown.math_rules import MAX_MATH_CHARS

_ELEMENTS = (
    "math mrow mi mn mo ms mtext mspace msup msub msubsup munder mover munderover mfrac msqrt mroot mtable "
    "mtr mtd mstyle mpadded mphantom menclose mmultiscripts mprescripts none merror"
)
# No href, style, class or event, and no colour: formulas have the colour of their text.
_ATTRIBUTES = (
    "display mathvariant mathsize stretchy fence separator form lspace rspace width height depth voffset "
    "linethickness columnalign columnlines columnspacing rowlines rowspacing rowalign columnspan frame "
    "accent accentunder movablelimits minsize maxsize largeop symmetric notation displaystyle scriptlevel"
)
ELEMENTS = frozenset(_ELEMENTS.split())
ATTRIBUTES = frozenset(_ATTRIBUTES.split())

# Environments the converter knows, and what it should read for those it would flatten to a line with "&".
_MATRICES = "matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix array cases split align*"
_ENVIRONMENTS = {name: name for name in _MATRICES.split()} | {
    "align": "align*",
    "aligned": "split",
    "alignat": "split",
    "alignat*": "split",
    "alignedat": "split",
    "eqnarray": "split",
    "eqnarray*": "split",
    "gather": "matrix",
    "gather*": "matrix",
    "gathered": "matrix",
    "multline": "matrix",
    "multline*": "matrix",
    "dcases": "cases",
    "equation": "",
    "equation*": "",
}
_ENVIRONMENT = re.compile(r"\\(begin|end)\{(\w+\*?)\}(?:(?<=at\})\{\d\}|(?<=at\*\})\{\d\})?")
# A definition may expand to exponentially many symbols.
_DEFINES = re.compile(
    r"\\(?:(?:re)?new(?:command|environment)|providecommand|DeclareMathOperator|[egx]?def|let)(?![a-zA-Z])"
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_ARITY = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}


@lru_cache(maxsize=512)
def to_mathml(source: str, *, display: bool) -> str:
    """`source` (TeX without delimiters) as a `<math>` element; "" when it cannot be converted."""
    if len(source) > MAX_MATH_CHARS or _DEFINES.search(source) or not _is_balanced(source):
        return ""
    try:
        source = _ENVIRONMENT.sub(_known_environment, source)
        element = Converter(display="block" if display else "inline").convert_to_element(source)
        _clean(element)
        return tostring(element, encoding="unicode")
    except Exception:  # latex2mathml raises dozens of kinds, RecursionError among them
        return ""


def _known_environment(match: re.Match[str]) -> str:
    name = _ENVIRONMENTS[match[2]]
    return f"\\{match[1]}{{{name}}}" if name else ""


def _is_balanced(source: str) -> bool:
    """Whether every brace is closed; the converter would guess the rest of a half-typed formula."""
    depth = 0
    for brace in _BRACE.findall(source):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0


def _clean(root: Element) -> None:
    """Keep known elements and attributes, and undo the entities that latex2mathml writes as text.

    Its own serialiser unescapes the finished markup instead, which turns `\\text{<img>}` into an image.
    Raises ValueError where an operand is missing.
    """
    for element in root.iter():
        if len(element) != _ARITY.get(element.tag, len(element)):
            raise ValueError(f"{element.tag} lacks an operand")
        if element.tag not in ELEMENTS:
            element.tag = "mrow"
        for name in [name for name in element.attrib if name not in ATTRIBUTES]:
            del element.attrib[name]
        if element.text:
            element.text = html.unescape(element.text)
        element.tail = html.unescape(element.tail) if element.tail else element.tail
