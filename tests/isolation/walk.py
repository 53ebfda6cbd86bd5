"""One control tried by everybody: by another tenant in every way, by a colleague, and at last by its owner."""

from typing import Any

from allauth.mfa.models import Authenticator
from psycopg import sql

from apps.tenants.edge.middleware import TENANT_HEADER
from tests.isolation.attack import WRITES, Ground
from tests.isolation.belongings import Ids, made
from tests.isolation.controls import REFUSED, Control
from tests.isolation.product import Answer, give_back_connections
from tests.isolation.world import KINDS, Side

# A caller for a program's door may show any of these there.
_ALIKE = {"key": ("key", "key header", "token", "session")}


def attempt(control: Control, *, by_all: bool = False) -> None:
    """Others are refused, nothing of the owner's is told or changed, and then the owner may.

    The attacker shows one of the credentials that open the door, another at each door; or every one of them.
    """
    victim, attacker = Ground.victim, Ground.attacker
    ids = made(victim, control.needs())
    before = victim.rows()
    if control.route.names or control.denied != REFUSED or _names_a_thing(control):
        alike = _ALIKE.get(control.credential, (control.credential,))
        for credential in alike if by_all else alike[len(str(control)) % len(alike) :][:1]:
            answer = _made(attacker, control, ids, credential)
            assert answer.status in control.denied, f"{control}: another tenant got {_told(answer)}"
    elif control.method == "GET":
        query = {name: value for name, values in _foreign(victim).items() for value in values[:1]}
        answer = _made(attacker, control, ids, control.credential, query=query)
        assert answer.status < 500, f"{control}: {_told(answer)}"
    answer = _made(attacker, control, ids, control.credential, headers=_naming(victim))
    assert answer.status == 409, f"{control}: naming another tenant in the headers got {_told(answer)}"
    if control.personal:
        # Of a colleague nothing but the status can be asked: the workspace's name is theirs, too.
        answer = _called(Ground.colleague, control, ids, control.credential)
        assert answer.status in control.denied, f"{control}: a colleague got {_told(answer)}"
    if control.method in WRITES:
        after = victim.rows()
        changed = [table for table in after if after[table] != before[table]]
        assert changed == [], f"{control}: others changed {changed}"
    _owner_may(control, ids)


def _owner_may(control: Control, ids: Ids) -> None:
    victim = Ground.victim
    answer = _called(victim, control, ids, control.credential, headers=_naming(victim))
    assert answer.status in control.allowed and b"/login/" not in location_of(answer), (
        f"{control}: its owner got {_told(answer)}"
    )
    if control.takes:
        query = sql.SQL("SELECT count(*) FROM {} WHERE id = %s").format(sql.Identifier(control.takes))
        ((left,),) = victim.admin.execute(query, [control.path(ids).rstrip("/").split("/")[-2]]).fetchall()
        assert left == 0, f"{control}: its owner's word did nothing"
    if control.shows:
        assert victim.canary.encode() in body_of(answer), f"{control}: its owner is not shown what is theirs"
    if "pk" in ids:
        Authenticator.objects.filter(pk=ids["pk"]).delete()
        give_back_connections()
    if control.ends:
        victim.replace_owner()
        victim.furnish()
        give_back_connections()


def _names_a_thing(control: Control) -> bool:
    """Whether the body holds an id of somebody's thing."""
    return any(name.endswith("_id") or name == "tier" for name in control.needs() if name not in control.beside)


def _made(side: Side, control: Control, ids: Ids, credential: str, **more: Any) -> Answer:
    """An attacker's try; whatever comes back, nothing of the victim's is in it."""
    answer = _called(side, control, ids, credential, **more)
    # What the attacker sent may come back: an id is no secret, and a name was told by the attacker.
    sent = f"{control.path(ids)} {control.body(ids)}"
    if Ground.victim.canary not in sent:
        assert Ground.victim.canary.encode() not in answer.told, f"{control} by {credential} tells the victim's"
    return answer


def _called(side: Side, control: Control, ids: Ids, credential: str, **more: Any) -> Answer:
    body = control.body(ids)
    (answer,) = Ground.product.call(side.call(control.method, control.path(ids), credential, **body, **more))
    return answer


def _foreign(side: Side) -> dict[str, list[str]]:
    """Values for every name that a query might have."""
    ids = side.ids()
    named = {name: [one for kind in kinds for one in ids.get(kind, [])] for name, kinds in KINDS.items()}
    return named | {"user": ids["user"], "tenant": ids["tenant"]}


def _naming(side: Side) -> dict[str, str]:
    return {TENANT_HEADER: str(side.principal.tenant_id)}


def location_of(answer: Answer) -> bytes:
    head = answer.told.partition(b"\n\n")[0].split(b"\n")
    pairs = dict(zip(head[::2], head[1::2], strict=False))
    return next((value for name, value in pairs.items() if name.lower() == b"location"), b"")


def body_of(answer: Answer) -> bytes:
    return answer.told.partition(b"\n\n")[2]


def _told(answer: Answer) -> str:
    return f"{answer.status} {location_of(answer)!r} {answer.told[-300:]!r}"
