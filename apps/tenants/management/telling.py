"""A problem as a command's one-line error."""

from apps.problems import Problem


def reason(problem: Problem) -> str:
    """The detail, and what is wrong with each field."""
    fields = problem.fields or {}
    return " ".join([problem.detail, *(f"{name}: {' '.join(found)}" for name, found in fields.items())])
