"""The ground of the attacks, for this folder's longer ones."""

from tests.isolation.conftest import ground

__all__ = ["ground"]
