"""Where sealed texts lie, so that changing the key forgets none. Whoever seals says so here, when its app is loaded."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of sealed texts, empty where there is none.

    `model` is Django's label (`routing.Provider`); `context` makes the context of a row's seal from its primary key.
    `names` is for a column of JSON objects: which of their fields are sealed.
    """

    model: str
    field: str
    context: Callable[[str], tuple[str, ...]]
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.model}.{self.field}{'' if not self.names else ' (' + ', '.join(self.names) + ')'}"


_columns: dict[tuple[str, str], SealedColumn] = {}


def register(column: SealedColumn) -> None:
    """Name a column. Naming it again replaces what was said of it."""
    _columns[column.model.lower(), column.field] = column


def sealed_columns() -> tuple[SealedColumn, ...]:
    """Every column that was named, in the order of their names."""
    return tuple(_columns[key] for key in sorted(_columns))
