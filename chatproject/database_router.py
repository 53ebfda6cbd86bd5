"""Which database role does what: the owner migrates, the bound roles serve."""

from typing import Any


class OwnerMigrates:
    """Migrations run on the `owner` alias alone; relations never cross databases, as all aliases are one database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "owner"

    def allow_relation(self, left: Any, right: Any, **hints: Any) -> bool:
        return True
