"""Checks of single fields. Each names the path of what is wrong: `messages.2.content`."""

import math
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, cast

from apps.outbound import Policy, Refused
from apps.routing.wire.errors import WireError

MAX_TEXT_BYTES = 512 * 1024
MAX_MODEL_CHARACTERS = 120
MOST_OUTPUT_TOKENS = 1_000_000
MAX_DEPTH = 64
_MAX_URL_CHARACTERS = 8_192
_INT64 = 2**63
_DATA_IMAGE = re.compile(r"data:image/(?:png|jpe?g|gif|webp);base64,(?=[A-Za-z0-9+/])", re.ASCII | re.IGNORECASE)
_DATA_FILE = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,(?=[A-Za-z0-9+/])", re.ASCII)
# Names that mean something else to each network, and nothing to the internet.
_INSIDE = (".arpa", ".corp", ".home", ".internal", ".intranet", ".invalid", ".lan", ".local", ".localhost", ".test")
_PUBLIC = Policy()
_ADDRESS = re.compile(r"https://[^\s\x00-\x1f@\\]+", re.ASCII)

# Where a call goes and whose key it carries is for administrators to say.
NOT_FOR_CALLERS = frozenset(
    {
        "api_base",
        "api_key",
        "api_type",
        "api_version",
        "azure_ad_token",
        "base_url",
        "custom_llm_provider",
        "default_headers",
        "extra_body",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "headers",
        "organization",
        "project",
        "provider",
        "proxy",
        "user_api_key",
        "vertex_credentials",
        "vertex_location",
        "vertex_project",
    }
)
_NOT_FOR_CALLERS_BEGIN = ("aws_", "azure_", "litellm_", "user_api_key", "vertex_", "x-")


def at(path: str, name: str | int) -> str:
    return f"{path}.{name}" if path else str(name)


def body_of(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise WireError(None, "The body must be a JSON object.")
    return value


def known(value: Mapping[str, Any], names: AbstractSet[str], path: str = "") -> None:
    """Raises `WireError` for a field that is not among the names."""
    if names >= value.keys():
        return
    for name in value:
        if name not in names:
            raise _unknown(str(name), path)


def _unknown(name: str, path: str) -> WireError:
    param, shown = at(path, name)[:200], name[:100]
    if name.lower() in NOT_FOR_CALLERS or name.lower().startswith(_NOT_FOR_CALLERS_BEGIN):
        return WireError(param, f"“{shown}” is not for callers: where calls go is set up by an administrator.")
    return WireError(param, f"“{shown}” is not a field that is known here. Leave it out.")


def refuse(value: Mapping[str, Any], reasons: Mapping[str, str], path: str = "") -> None:
    """Raises `WireError` for a field of the dialect that is not served here, and was given a value."""
    if reasons.keys().isdisjoint(value):
        return
    for name, reason in reasons.items():
        if value.get(name) is not None:
            raise WireError(at(path, name), reason)


def an_object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise WireError(path, "Send an object.")
    return value


def a_list(value: Any, path: str, *, least: int = 0, most: int = 4_096) -> Sequence[Any]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise WireError(path, f"Send a list of {least} to {most:,} entries.")
    return value


def a_text(value: Any, path: str, *, empty: bool = True, most_bytes: int = MAX_TEXT_BYTES) -> str:
    if not isinstance(value, str):
        raise WireError(path, "Send a text.")
    # A character has four bytes at most, so that most texts need not be encoded to know.
    if len(value) * 4 > most_bytes and (size := len(value.encode("utf-8", "surrogatepass"))) > most_bytes:
        raise WireError(path, f"The text has {size:,} bytes; {most_bytes:,} are allowed.")
    if "\x00" in value:
        raise WireError(path, "The text contains a NUL character; remove it.")
    if not empty and not value:
        raise WireError(path, "The text is empty.")
    return value


def a_name(value: Any, path: str, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise WireError(path, "Send a name of letters, digits, underscores and dashes.")
    return value


def an_id(value: Any, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 256 or not value.isprintable():
        raise WireError(path, "Send an id of 1 to 256 printable characters.")
    return value


def model(body: Mapping[str, Any]) -> str:
    value = body.get("model")
    if not isinstance(value, str) or not 0 < len(value) <= MAX_MODEL_CHARACTERS or not value.isprintable():
        raise WireError("model", f"Name a model, in 1 to {MAX_MODEL_CHARACTERS} printable characters.")
    return value


def flag(value: Mapping[str, Any], name: str, path: str = "") -> bool | None:
    """True, false, or None where it is left out."""
    given = value.get(name)
    if given is not None and not isinstance(given, bool):
        raise WireError(at(path, name), "Send true or false.")
    return given


def number(value: Mapping[str, Any], name: str, low: float, high: float, path: str = "") -> float | None:
    """A number within bounds, or None where it is left out."""
    given = value.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not low <= given <= high:
        raise WireError(at(path, name), f"Send a number from {low:g} to {high:g}.")
    return given


def whole(value: Mapping[str, Any], name: str, low: int, high: int, path: str = "") -> int | None:
    """A whole number within bounds, or None where it is left out."""
    given = value.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
        raise WireError(at(path, name), f"Send a whole number from {low:,} to {high:,}.")
    return given


def seed(value: Mapping[str, Any]) -> int | None:
    return whole(value, "seed", -_INT64, _INT64 - 1)


def one_of(value: Mapping[str, Any], name: str, choices: Sequence[str], path: str = "") -> str | None:
    """One of the words, or None where it is left out."""
    given = value.get(name)
    if given is not None and (not isinstance(given, str) or given not in choices):
        raise WireError(at(path, name), f"Send one of: {', '.join(choices)}.")
    return given


def texts(value: Any, path: str, *, most: int) -> list[str]:
    """A text or a list of texts, none of them empty, as a list."""
    given = [value] if isinstance(value, str) else a_list(value, path, most=most)
    return [a_text(one, path, empty=False, most_bytes=1_024) for one in given]


def plain(value: Any, path: str) -> Any:
    """JSON of the caller's own, such as a schema: nested no deeper than readers of it can follow."""
    layer, depth = [value], 0
    while layer:
        if depth > MAX_DEPTH:
            raise WireError(path, f"This is nested deeper than {MAX_DEPTH} levels.")
        below: list[Any] = []
        for one in layer:
            if isinstance(one, Mapping):
                if not all(isinstance(key, str) for key in one):
                    raise WireError(path, "Names must be texts.")
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif not _is_plain(one):
                raise WireError(path, "This holds a number that JSON cannot say.")
        layer, depth = below, depth + 1
    return value


def _is_plain(one: Any) -> bool:
    if isinstance(one, float):
        return math.isfinite(one)
    if isinstance(one, int):
        return -_INT64 <= one < 2 * _INT64
    return one is None or isinstance(one, str)


def an_object_of_json(value: Any, path: str) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], plain(an_object(value, path), path))


def picture_url(value: Any, path: str) -> str:
    """A picture's address. The provider fetches it, we never do; one inside a network could be made to look around."""
    if isinstance(value, str) and _DATA_IMAGE.match(value):
        return value
    if isinstance(value, str) and _is_address(value):
        if not _is_public(value):
            raise WireError(path, "Pictures are fetched from the public internet alone. Send this one in the request.")
        return value
    raise WireError(path, "Send a picture as https:// or data:image/...;base64,")


def _is_address(value: str) -> bool:
    return len(value) <= _MAX_URL_CHARACTERS and _ADDRESS.fullmatch(value) is not None


def _is_public(address: str) -> bool:
    """Whether the address is one of the internet, as far as it says itself: what its name resolves to is for whoever
    fetches it to look at."""
    origin = re.split("[/?#]", address.removeprefix("https://"), maxsplit=1)[0]
    try:
        host = _PUBLIC.check_url(f"https://{origin}/").host
    except Refused:
        return False
    return (":" in host or "." in host) and not host.endswith(_INSIDE)


def file_data(value: Any, path: str) -> str:
    """A file given as a data URL."""
    if not isinstance(value, str) or not _DATA_FILE.match(value):
        raise WireError(path, "Send the file as data:...;base64,")
    return value
