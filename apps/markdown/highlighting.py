"""Source code to HTML: Pygments' short classes on the tokens that carry colour, and nothing else.

The text inside is the source, character for character, so that copying it is right. The classes, by the
colour they stand for:

- keyword: k kc kd kn kp kr kt ow, and nt (the names of tags)
- string: s s1 s2 sa sb sc sd se sh si sr ss sx dl, and gi (inserted lines)
- number: m mb mf mh mi mo il, and gd (deleted lines)
- function, class, decorator, attribute: nf fm nc nd na
- comment: c c1 ch cm cp cpf cs, and gu gh (headings of a diff)
"""

import re
from functools import lru_cache
from html import escape

from pygments.lexer import Lexer  # type: ignore[import-untyped]
from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import STANDARD_TYPES, _TokenType  # type: ignore[import-untyped]

#: Longer code is shown without colour: highlighting costs about a millisecond per kilobyte.
MAX_HIGHLIGHT_CHARS = 20_000

_COLOURED = (
    "k kc kd kn kp kr kt ow nt s s1 s2 sa sb sc sd se sh si sr ss sx dl gi "
    "m mb mf mh mi mo il gd nf fm nc nd na c c1 ch cm cp cpf cs gu gh"
)
COLOURED_CLASSES = frozenset(_COLOURED.split())

# The languages that are highlighted, by the names people see.
_LANGUAGES = {
    "bash": "Bash",
    "c": "C",
    "cpp": "C++",
    "csharp": "C#",
    "css": "CSS",
    "dart": "Dart",
    "diff": "Diff",
    "docker": "Dockerfile",
    "elixir": "Elixir",
    "go": "Go",
    "graphql": "GraphQL",
    "haskell": "Haskell",
    "html": "HTML",
    "ini": "INI",
    "java": "Java",
    "javascript": "JavaScript",
    "json": "JSON",
    "julia": "Julia",
    "kotlin": "Kotlin",
    "lua": "Lua",
    "make": "Makefile",
    "nginx": "nginx",
    "perl": "Perl",
    "php": "PHP",
    "powershell": "PowerShell",
    "python": "Python",
    "r": "R",
    "ruby": "Ruby",
    "rust": "Rust",
    "scala": "Scala",
    "scss": "SCSS",
    "sql": "SQL",
    "swift": "Swift",
    "toml": "TOML",
    "typescript": "TypeScript",
    "xml": "XML",
    "yaml": "YAML",
}
_ALIASES = {
    "c#": "csharp",
    "c++": "cpp",
    "cc": "cpp",
    "cs": "csharp",
    "dockerfile": "docker",
    "ex": "elixir",
    "golang": "go",
    "h": "c",
    "hpp": "cpp",
    "hs": "haskell",
    "js": "javascript",
    "json5": "json",
    "jsonc": "json",
    "jsx": "javascript",
    "kt": "kotlin",
    "makefile": "make",
    "mjs": "javascript",
    "pgsql": "sql",
    "plpgsql": "sql",
    "postgresql": "sql",
    "ps1": "powershell",
    "py": "python",
    "py3": "python",
    "python3": "python",
    "rb": "ruby",
    "rs": "rust",
    "sh": "bash",
    "shell": "bash",
    "svg": "xml",
    "ts": "typescript",
    "tsx": "typescript",
    "yml": "yaml",
    "zsh": "bash",
}
# Pygments' patterns look for the end of a line or of a declaration by backtracking: their cost grows with the
# square of such a stretch, up to a minute for 20 kB of bare words. Code that people read has no such stretch.
_COSTLY = re.compile(r"[^\n]{400}|[\w\s]{300}")
_LANGUAGE_WORD = re.compile(r"[\w+#.-]{1,32}")


def language_of(info: str) -> tuple[str, str]:
    """A fence's info line as (identifier, name to show): `py title="x"` gives ("python", "Python").

    An unknown language keeps its own word as both; no language is ("", "Text").
    """
    match = _LANGUAGE_WORD.match(info.strip().lstrip("{."))
    if match is None:
        return "", "Text"
    word = match[0].lower()
    language = _ALIASES.get(word, word)
    return language, _LANGUAGES.get(language, match[0])


def languages() -> list[str]:
    """Identifiers of the languages that are highlighted."""
    return sorted(_LANGUAGES)


def highlight(source: str, language: str) -> str:
    """`source` as HTML whose text is exactly `source`; without colour where that is unknown or too costly."""
    if language not in _LANGUAGES or len(source) > MAX_HIGHLIGHT_CHARS or _COSTLY.search(source):
        return escape(source, quote=False)
    parts: list[str] = []
    length = 0
    for kind, value in _lexer(language).get_tokens(source):
        length += len(value)
        text = escape(value, quote=False)
        name = _class_of(kind)
        parts.append(f'<span class="{name}">{text}</span>' if name else text)
    # Some lexers drop a byte order mark or fold line ends. Copying must be right, so colour gives way.
    return "".join(parts) if length == len(source) else escape(source, quote=False)


@lru_cache(maxsize=len(_LANGUAGES))
def _lexer(language: str) -> Lexer:
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@lru_cache(maxsize=512)
def _class_of(kind: _TokenType) -> str:
    """The token's short class, or its nearest parent's, if it carries colour."""
    current: _TokenType | None = kind
    while current is not None:
        name = STANDARD_TYPES.get(current)
        if name is not None:
            return name if name in COLOURED_CLASSES else ""
        current = current.parent
    return ""
