"""Which database role does what: the owner migrates, the bound roles serve."""

from typing import Any

_WRITTEN_AS_ENGINE = frozenset({"tenants.flag", "tenants.flag_users", "tenants.flag_groups"})


class OwnerMigrates:
    """Migrations run on the `owner` alias alone; relations never cross databases, as all aliases are one database."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return db == "owner"

    def db_for_write(self, model: Any, **hints: Any) -> str | None:
        """Flags are the installation's, and read by everybody; `manage.py waffle_flag` writes them as `engine`."""
        return "engine" if model._meta.label_lower in _WRITTEN_AS_ENGINE else None

    def allow_relation(self, left: Any, right: Any, **hints: Any) -> bool:
        return True
