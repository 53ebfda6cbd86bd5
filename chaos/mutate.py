"""`python -m chaos.mutate NAME -- python -m MODULE ARGUMENT...`: run a module of the product with one protection off.

The product's code knows nothing of it: an import hook changes one module right after it was executed, before anybody
else sees it, and then the original module runs in this very process.
"""

import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from chaos.mutations import MUTATIONS

Patch = Callable[[ModuleType], None]


class _PatchedLoader(Loader):
    """Executes a module as its own loader would, then changes it."""

    def __init__(self, loader: Loader, patch: Patch) -> None:
        self._loader = loader
        self._patch = patch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._patch(module)


class PatchingFinder(MetaPathFinder):
    """Finds the modules that have a patch, by the ordinary path."""

    def __init__(self, patches: dict[str, Patch]) -> None:
        self._patches = patches

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        patch = self._patches.get(fullname)
        if patch is None:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            raise ImportError(f"the mutation is meant for {fullname}, which is not there")
        spec.loader = _PatchedLoader(spec.loader, patch)
        return spec


def main() -> None:
    """Install the mutation, then become the original command."""
    name, words = sys.argv[1], sys.argv[sys.argv.index("--") + 1 :]
    sys.meta_path.insert(0, PatchingFinder(dict(MUTATIONS[name].patches)))
    position = words.index("-m")
    module, arguments = words[position + 1], words[position + 2 :]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def wrapped(mutation: str, argv: list[str]) -> list[str]:
    """The command line that runs `argv` (a `python ... -m module ...`) under a mutation."""
    return [*argv[: argv.index("-m")], "-m", "chaos.mutate", mutation, "--", *argv]


if __name__ == "__main__":
    main()
