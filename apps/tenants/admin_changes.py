"""What is done in the administration, told in the audit chains: of the row's tenant, or the installation's own."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import connections, models, transaction
from django.http import HttpRequest

from apps.tenants import audit, audit_content
from apps.tenants.audit import Actor
from apps.tenants.models import AuditEntry, Tenant

ALIAS = "engine"

# Columns that hold a secret, or what a secret can be checked against. They are never shown, and never told.
SECRET_COLUMNS = frozenset(
    {"password", "digest", "secret", "sealed_key", "sealed_secret", "session_key", "hash", "previous_hash", "data"}
)
_OWN_AFFAIRS = frozenset({"id", "tenant_id", "created_at", "created", "modified"})
_KINDS = {"languagemodel": "model", "usersession": "session", "emailaddress": "email_address"}


def kind_of(model: type[models.Model]) -> str:
    """The word for a row in action names: `api_key`, `team_member`, `model`."""
    return _KINDS.get(model._meta.model_name or "", str(model._meta.verbose_name).lower().replace(" ", "_"))


def operator(request: HttpRequest) -> Actor:
    """Whoever sits at the operators' administration."""
    assert request.user.is_authenticated  # noqa: S101 - the site has made sure
    return Actor(request.user.pk, request.user.get_username(), "admin")


def tenant_of(row: models.Model) -> UUID | None:
    """Whose chain a row's changes belong to; None for the installation's own."""
    return row.pk if isinstance(row, Tenant) else getattr(row, "tenant_id", None)


def state(row: models.Model) -> dict[str, Any]:
    """What a row says, without what is secret or never changes."""
    return {
        field.attname: _plain(getattr(row, field.attname))
        for field in row._meta.concrete_fields
        if field.attname not in _OWN_AFFAIRS | SECRET_COLUMNS and not isinstance(field, models.BinaryField)
    }


def _plain(value: Any) -> Any:
    """A model's default for a column that the database fills is an expression until the row is read again."""
    return None if hasattr(value, "resolve_expression") else value


def stored(row: models.Model, using: str, *, lock: bool = True) -> dict[str, Any] | None:
    """The state the database has, locked until the transaction ends; None where there is no such row."""
    rows = type(row)._default_manager.using(using).filter(pk=row.pk)
    found = (rows.select_for_update(of=("self",)) if lock else rows).first()
    return state(found) if found is not None else None


def note_saved(
    actor: Actor,
    row: models.Model,
    before: Mapping[str, Any] | None,
    *,
    using: str = ALIAS,
    told: Mapping[str, Any] | None = None,
) -> None:
    """Say in the change's transaction that a row was added (`before` None) or what of it changed, if anything did.

    `told` is what else happened, such as `{"key_given": True}`; it never holds the secret itself.
    """
    # As it was stored: a form leaves more in the row than it writes.
    after, extra = stored(row, using, lock=False) or state(row), dict(told or {})
    if before is None:
        data = {name: value for name, value in after.items() if value not in (None, "", False, [])}
    else:
        data = {name: {"from": before[name], "to": after[name]} for name in after if before[name] != after[name]}
        if not data and not extra:
            return
    _note(actor, row, "added" if before is None else "changed", {**data, **extra}, using)


def note_removed(actor: Actor, row: models.Model, *, using: str = ALIAS) -> None:
    """Say in its transaction that a row is removed, and what it said last. Call it before the row is gone."""
    data = {name: value for name, value in state(row).items() if value not in (None, "", False, [])}
    _note(actor, row, "removed", data, using)


def _note(actor: Actor, row: models.Model, happened: str, data: Mapping[str, Any], using: str) -> None:
    kind = kind_of(type(row))
    audit.record(tenant_of(row), actor, f"{kind}.{happened}", target=(kind, str(row.pk)[:64]), data=data, using=using)


def note_read(
    actor: Actor, tenant_id: UUID | None, action: str, *, target: tuple[str, str], data: Mapping[str, Any]
) -> None:
    """Say that an operator looked at what is other people's: once in 15 minutes for the same thing."""
    chain = models.Q(tenant_id=tenant_id) if tenant_id is not None else models.Q(tenant_id__isnull=True)
    told = AuditEntry.objects.using(ALIAS).filter(
        chain,
        at__gt=models.functions.Now() - audit.READ_AGAIN,
        actor_id=actor.id,
        via=actor.via,
        action=action,
        target_kind=target[0],
        target_id=target[1],
        data=audit_content.data(data),
        address=audit_content.address(audit.address.get()),
    )
    with transaction.atomic(using=ALIAS):
        if not told.exists():
            audit.record(tenant_id, actor, action, target=target, data=data, using=ALIAS)


def settle(using: str) -> None:
    """Have what is checked at the commit checked now, so that it is told on the page and not after it."""
    with connections[using].cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
