"""Members of `X-Switchboard-Route`, a list of RFC 9651: where answers come from, for programs that read heads."""

from functools import lru_cache

NAME = "X-Switchboard-Route"


# Few names are in use at a time, and each answer needs some.
@lru_cache(4096)
def member(model: str, **parameters: str | int) -> str:
    """The model with what is known of it; empty texts are left out."""
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
