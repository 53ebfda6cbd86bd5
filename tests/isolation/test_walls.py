"""Each table's wall by itself, and each reference between tables."""

from chaos import rows
from tests.isolation import walls
from tests.isolation.attack import Ground
from tests.isolation.world import superuser


def test_no_table_lets_anybody_through(ground: type[Ground]) -> None:
    tables = walls.tables(ground.victim, ground.attacker)
    assert len(tables) > 20
    for table in tables:
        walls.check(table, ground.victim, ground.attacker)


def test_no_row_points_into_another_tenant(ground: type[Ground]) -> None:
    walls.tables(ground.victim, ground.attacker)
    references = walls.references()
    assert len(references) > 10
    for table, column, target in references:
        walls.check_reference(table, column, target, ground.victim, ground.attacker)


def test_models_and_tables_agree_on_who_has_a_tenant(database: None) -> None:
    """A table that no model says to be a tenant's would have its references unattacked."""
    with superuser() as admin:
        pointing = {table for table, _, _ in walls.references()}
        assert pointing <= set(rows.tenant_tables(admin))
