"""`x-switchboard-route`: where answers come from, for programs that read heads and not bodies.

A list of RFC 9651, one member per lane: the model that answered with its provider, or the one that is asked first while
nobody has answered yet; `asked` is the name that was sent. What the event `message.completed` and REST tell is the
whole story; this is its first line.
"""

from collections.abc import Iterable

from apps.conversations.contracts import AnswerRow, GenerationAccepted

NAME = "X-Switchboard-Route"


def planned(generations: Iterable[GenerationAccepted]) -> dict[str, str]:
    """For what was accepted and is answered elsewhere or later."""
    members = (
        _member(one.first_model, lane=one.lane, asked=one.model, provider=one.first_provider, state="planned")
        for one in generations
    )
    return {NAME: ", ".join(members)}


def answered(answers: Iterable[AnswerRow]) -> dict[str, str]:
    """For answers that have ended. One that nobody gave names the model that was asked."""
    return {NAME: ", ".join(_answered(one) for one in answers)}


def _answered(answer: AnswerRow) -> str:
    by = answer.route.get("answered_by") or {}
    return _member(
        by.get("slug", answer.model_slug),
        lane=answer.lane,
        asked=answer.model_slug,
        provider=by.get("provider", ""),
        state=answer.state.value,
        attempts=len(answer.route.get("attempts", ())),
    )


def _member(model: str, **parameters: str | int) -> str:
    told = (f";{name}={_item(value)}" for name, value in parameters.items() if value != "")
    return _item(model) + "".join(told)


def _item(value: str | int) -> str:
    """An integer, a string, or a display string where a name is not ASCII."""
    if isinstance(value, int):
        return str(value)
    if value.isascii() and value.isprintable():
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return '%"' + "".join(_encoded(byte) for byte in value.encode("utf-8", "replace")) + '"'


def _encoded(byte: int) -> str:
    """One byte of a display string: visible ASCII as it is, all else in small hexadecimal digits."""
    character = chr(byte)
    return character if 0x20 <= byte < 0x7F and character not in '%"' else f"%{byte:02x}"
