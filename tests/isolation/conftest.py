"""The ground of an attack: made once for the folder."""

from collections.abc import Iterator

import pytest

from tests.isolation import surface
from tests.isolation.attack import Ground
from tests.isolation.product import Product, faulty, give_back_connections, one_connection
from tests.isolation.world import two_sides


@pytest.fixture(scope="package")
def ground(database: None) -> Iterator[type[Ground]]:
    """Victim, attacker and the application on one pooled connection."""
    with two_sides() as (victim, attacker), one_connection(), faulty() as faults:
        Ground.victim, Ground.attacker, Ground.colleague = victim, attacker, victim.colleague()
        give_back_connections()
        Ground.routes, Ground.messages = surface.routes(), surface.socket_messages()
        Ground.product = Product(faults)
        try:
            yield Ground
        finally:
            Ground.product.close()
