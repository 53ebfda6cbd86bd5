"""What keeps a call from being made."""


class Refused(OSError):
    """The address is not one that strangers may have called. An OSError, so that HTTP clients tell it as "unreachable".

    The message is for operators' logs: told to whoever chose the address, it would say what a name resolves to.
    """


class BadAllowList(ValueError):
    """An entry of the allow-list is neither an address, a network nor a host."""


def refusal(error: BaseException) -> Refused | None:
    """The refusal behind an HTTP client's error, if that was the reason."""
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if isinstance(one, Refused):
            return one
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, getattr(one, "os_error", None), getattr(one, "reason", None)]
        waiting += one.args
    return None
