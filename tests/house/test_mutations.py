"""Drills must notice their mutations, which change the product by name and by its words: they keep up with both."""

from importlib import import_module
from importlib.util import find_spec, module_from_spec
from types import ModuleType

import pytest

from chaos.mutations import MUTATIONS, Mutation


def copy_of(name: str) -> ModuleType:
    """The module once more, that nobody else sees."""
    import_module(name)
    spec = find_spec(name)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inside(module: ModuleType) -> dict[str, int]:
    """What stands in the module and in its classes."""
    found = {name: id(value) for name, value in vars(module).items()}
    for name, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__:
            found |= {f"{name}.{attribute}": id(part) for attribute, part in vars(value).items()}
    return found


@pytest.mark.parametrize("mutation", [one for one in MUTATIONS.values() if one.patches], ids=lambda one: one.name)
def test_a_mutation_fits_what_it_changes(mutation: Mutation) -> None:
    for name, patch in mutation.patches:
        module = copy_of(name)
        before, untouched = inside(module), inside(import_module(name))
        patch(module)
        assert inside(module) != before, f"{mutation.name} changes nothing in {name}"
        assert inside(import_module(name)) == untouched, f"{mutation.name} changes more than a copy of {name}"
