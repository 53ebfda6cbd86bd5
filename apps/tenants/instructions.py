"""What models are told before every question: by the workspace to all, and by each person to those that answer them."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from apps.accounts.contracts import is_storable
from apps.tenants import audit
from apps.tenants.contracts import Principal
from apps.tenants.errors import InvalidInstructions
from apps.tenants.models import Instruction
from apps.tenants.policy import Action, require
from apps.tenants.scope import tenant_scope

MAX_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class Instructions:
    """Empty where nothing is said. `own` are those of the person asked for."""

    workspace: str = ""
    own: str = ""


def checked(text: object) -> str:
    """The instructions as they are kept, without blanks around them. Raises `InvalidInstructions`."""
    if not isinstance(text, str):
        raise _invalid("Send the instructions as text.")
    if len(text) > MAX_CHARACTERS:
        raise _invalid(f"The text has {len(text):,} characters; {MAX_CHARACTERS:,} are allowed.")
    if not is_storable(text):
        raise _invalid("The text contains a NUL character or half of a surrogate pair; remove it.")
    return text.strip()


def _invalid(message: str) -> InvalidInstructions:
    return InvalidInstructions(message, fields={"instructions": [message]})


def read(tenant_id: UUID, user_id: UUID) -> Instructions:
    """What holds for that person's questions. Demands the tenant's transaction."""
    rows = Instruction.objects.filter(Q(user_id=user_id) | Q(user_id__isnull=True), tenant_id=tenant_id)
    found: dict[UUID | None, str] = dict(rows.values_list("user_id", "text"))
    return Instructions(found.get(None, ""), found.get(user_id, ""))


def of(principal: Principal) -> Instructions:
    """What holds for the caller's questions."""
    with tenant_scope(principal.tenant_id):
        return read(principal.tenant_id, principal.user_id)


def set_workspace(principal: Principal, text: object) -> None:
    """Tell every model something before each question of everybody; empty takes it back. Raises
    `InvalidInstructions`."""
    require(principal, Action.TENANT_CHANGE)
    text = checked(text)
    with tenant_scope(principal.tenant_id):
        if not _write(principal.tenant_id, None, text):
            return
        # How long they are, and not what they say: the log of changes holds no prompt.
        audit.record(
            principal.tenant_id,
            audit.Actor.of(principal),
            "instructions.changed",
            target=("tenant", principal.tenant_id),
            data={"characters": len(text)},
        )


def set_own(principal: Principal, text: object) -> None:
    """Tell models something before each of the caller's own questions in this workspace; empty takes it back.

    Raises `InvalidInstructions`.
    """
    require(principal, Action.SELF)
    text = checked(text)
    with tenant_scope(principal.tenant_id):
        _write(principal.tenant_id, principal.user_id, text)


def _write(tenant_id: UUID, user_id: UUID | None, text: str) -> bool:
    """Whether that changed anything."""
    whose = Q(user_id__isnull=True) if user_id is None else Q(user_id=user_id)
    row = Instruction.objects.select_for_update().filter(whose, tenant_id=tenant_id).first()
    if text == (row.text if row else ""):
        return False
    Instruction.objects.bulk_create(
        [Instruction(tenant_id=tenant_id, user_id=user_id, text=text)],
        update_conflicts=True,
        unique_fields=["tenant", "user"],
        update_fields=["text"],
    )
    return True
