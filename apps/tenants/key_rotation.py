"""Sealing anew, under the vault's first key, everything that is sealed; afterwards the earlier keys may go.

Rows are changed as `engine`, some at a time and only where they still hold what was read, so that it may run beside the
product, be interrupted anywhere and be run again.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models, transaction

from apps.vault import SealedColumn, UnknownKey, Vault, VaultError, sealed_columns

BATCH = 100  # rows of one transaction
_PASSES = 3
_ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Unopened:
    """A text that stays shut. `reason` names no secret."""

    column: str
    row: str
    reason: str


@dataclass(slots=True)
class ColumnState:
    """What a column holds: sealed texts by key, and those that cannot be opened."""

    column: str
    by_key: Counter[str] = field(default_factory=Counter)
    unopened: list[Unopened] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Holding:
    """What the registered columns hold. `finished`: all of it opens, and all under the current key."""

    current: str
    columns: tuple[ColumnState, ...]

    @property
    def unopened(self) -> list[Unopened]:
        return [found for column in self.columns for found in column.unopened]

    @property
    def under_old_keys(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for column in self.columns:
            counts.update({key: count for key, count in column.by_key.items() if key != self.current})
        return counts

    @property
    def finished(self) -> bool:
        return not self.unopened and not self.under_old_keys


def unregistered() -> list[str]:
    """Columns that are named like sealed ones, and that nobody has registered: they would be forgotten."""
    known = {(column.model.lower(), column.field) for column in sealed_columns()}
    return sorted(
        f"{model._meta.label}.{one.name}"
        for model in apps.get_models()
        for one in model._meta.concrete_fields
        if one.name.startswith("sealed") and (model._meta.label_lower, one.name) not in known
    )


def look(vault: Vault) -> Holding:
    """Open everything, change nothing."""
    return Holding(vault.current, tuple(_look_at(vault, column) for column in sealed_columns()))


def reseal(vault: Vault) -> int:
    """Seal anew what is sealed under another key than the current one; returns how many texts were.

    What cannot be opened is left as it is, and is for `look` to tell.
    """
    resealed = 0
    for column in sealed_columns():
        for _ in range(_PASSES):
            done, missed = _reseal_column(vault, column)
            resealed += done
            if not missed:
                break
    return resealed


def _look_at(vault: Vault, column: SealedColumn) -> ColumnState:
    state = ColumnState(str(column))
    for batch in _batches(column):
        for key, value in batch:
            for token in _tokens(column, value).values():
                try:
                    state.by_key[vault.key_of(token)] += 1
                    vault.open(token, context=column.context(key))
                except VaultError as error:
                    state.unopened.append(Unopened(str(column), key, _reason(error)))
    return state


def _reseal_column(vault: Vault, column: SealedColumn) -> tuple[int, int]:
    """(texts sealed anew, rows that somebody else changed meanwhile)."""
    done = missed = 0
    for batch in _batches(column):
        with transaction.atomic(using=_ENGINE):
            for key, value in batch:
                fresh = _resealed(vault, column, key, value)
                if not fresh:
                    continue
                if column.names:
                    changed: Any = {**value, **fresh}
                else:
                    (changed,) = fresh.values()
                rows = _rows(column).filter(**{"pk": key, column.field: value})
                if rows.update(**{column.field: changed}):
                    done += len(fresh)
                else:
                    missed += 1
    return done, missed


def _resealed(vault: Vault, column: SealedColumn, key: str, value: Any) -> dict[str, str]:
    """The row's texts that are under another key and can be opened, sealed anew."""
    fresh = {}
    for name, token in _tokens(column, value).items():
        try:
            if vault.needs_rotation(token):
                context = column.context(key)
                fresh[name] = vault.seal(vault.open(token, context=context), context=context)
        except VaultError:
            continue
    return fresh


def _tokens(column: SealedColumn, value: Any) -> dict[str, str]:
    if not column.names:
        return {column.field: value} if value else {}
    found = value if isinstance(value, dict) else {}
    return {name: found[name] for name in column.names if isinstance(found.get(name), str) and found[name]}


def _batches(column: SealedColumn) -> Iterator[list[tuple[str, Any]]]:
    """(primary key, value) of every row, by primary key."""
    rows = _rows(column).order_by("pk").values_list("pk", column.field)
    batch = list(rows[:BATCH])
    while batch:
        yield [(str(key), value) for key, value in batch]
        batch = list(rows.filter(pk__gt=batch[-1][0])[:BATCH])


def _rows(column: SealedColumn) -> models.QuerySet[Any]:
    model: Any = apps.get_model(column.model)
    rows: models.QuerySet[Any] = model._base_manager.using(_ENGINE)
    return rows


def _reason(error: VaultError) -> str:
    if isinstance(error, UnknownKey):
        return str(error)
    return "it does not open: changed, moved from another row, or the key of that id is another"
