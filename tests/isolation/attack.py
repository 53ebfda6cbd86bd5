"""The attacker: a Hypothesis state machine that guesses and swaps ids at every door, and looks at every byte."""

from typing import Any
from uuid import uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.isolation import surface
from tests.isolation.product import Answer, Product, give_back_connections
from tests.isolation.world import KINDS, MODEL, Side

CREDENTIALS = ("key", "key header", "session", "token")
# Doors that none of these opens.
OF_DOOR = {"scim": "directory", "manage": "desk"}
WRITES = ("POST", "PUT", "PATCH", "DELETE")


class Ground:
    """What the machine plays on; set once, because making it takes longer than playing."""

    product: Product
    victim: Side
    attacker: Side
    colleague: Side
    routes: list[surface.Route]
    messages: list[str]
    denied = 0
    allowed = 0


_picks = st.integers(min_value=0, max_value=10_000)


def _plain(sent: dict[str, Any]) -> dict[str, str]:
    """What of a body a form can carry."""
    return {name: value for name, value in sent.items() if isinstance(value, str)}


class Attack(RuleBasedStateMachine):
    """After every step: no canary of the victim in any byte the attacker got, no row of the victim changed by it."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = Ground.victim.ids()
        self.before = Ground.victim.rows()
        give_back_connections()

    # What the attacker may send -------------------------------------------------------------------------------------

    def _route(self, pick: int) -> surface.Route:
        """A door first, then one of its routes, so that the administration's hundred do not hide the others."""
        among = [route for route in Ground.routes if route.names or pick % 4 == 0] or Ground.routes
        doors = sorted({route.door for route in among})
        routes = [route for route in among if route.door == doors[pick % len(doors)]]
        return routes[pick // len(doors) % len(routes)]

    def _id(self, name: str, pick: int) -> str:
        """Mostly an id of the kind that belongs there; sometimes of any other."""
        kinds = [kind for kind in KINDS.get(name, ()) if kind in self.ids]
        if not kinds or pick % 5 == 0:
            kinds = sorted(self.ids)
        ids = self.ids[kinds[pick % len(kinds)]]
        return ids[pick % len(ids)]

    def _body(self, pick: int) -> dict[str, Any]:
        """A plausible body with the victim's ids in one or all of its places."""
        places = sorted(KINDS)
        chosen = places if pick % 3 == 0 else [places[pick % len(places)]]
        ids = {name: self._id(name, pick + place) for place, name in enumerate(chosen)}
        plain = {"message": "hello", "models": [MODEL], "name": "x", "title": "x", "role": "admin", "tier": "standard"}
        return plain | {"teams": [self._id("team_id", pick)], "email": f"{uuid4().hex}@example.org"} | ids

    # What it tries --------------------------------------------------------------------------------------------------

    @rule(pick=_picks, credential=st.sampled_from(CREDENTIALS), body=_picks)
    def foreign_ids_in_a_path(self, pick: int, credential: str, body: int) -> None:
        route = self._route(pick)
        path = route.path({name: self._id(name, body + place) for place, name in enumerate(route.names)})
        credential = OF_DOOR.get(route.door, credential)
        for method in surface.METHODS:
            sent = self._body(body) if method in WRITES else None
            as_form = credential == "desk" or (credential == "session" and not path.startswith(("/api/", "/v1/")))
            self._attack(method, path, credential, **({"form": _plain(sent)} if as_form and sent else {"json": sent}))

    @rule(pick=_picks, credential=st.sampled_from(CREDENTIALS), body=_picks, as_form=st.booleans())
    def foreign_ids_in_a_body(self, pick: int, credential: str, body: int, as_form: bool) -> None:
        routes = [route for route in Ground.routes if not route.names]
        route = routes[pick % len(routes)]
        sent, credential = self._body(body), OF_DOOR.get(route.door, credential)
        self._attack("POST", route.path({}), credential, **({"form": _plain(sent)} if as_form else {"json": sent}))

    @rule(pick=_picks, credential=st.sampled_from(CREDENTIALS), query=_picks)
    def foreign_ids_in_a_query(self, pick: int, credential: str, query: int) -> None:
        routes = [route for route in Ground.routes if not route.names]
        places = {name: self._id(name, query + place) for place, name in enumerate(sorted(KINDS))}
        places |= {name: self._id("conversation_id", query) for name in ("before", "after", "cursor", "user", "tenant")}
        route = routes[pick % len(routes)]
        self._attack("GET", route.path({}), OF_DOOR.get(route.door, credential), query=places)

    @rule(
        pick=_picks,
        credential=st.sampled_from(CREDENTIALS),
        name=st.sampled_from(["X-Switchboard-Tenant", "X-Tenant-Id"]),
    )
    def swapped_tenant_header(self, pick: int, credential: str, name: str) -> None:
        routes = [route for route in Ground.routes if not route.names]
        headers = {name: str(Ground.victim.principal.tenant_id)}
        route = routes[pick % len(routes)]
        self._attack("GET", route.path({}), OF_DOOR.get(route.door, credential), headers=headers)

    @rule(pick=_picks, kind=_picks, by_cookie=st.booleans())
    def foreign_ids_on_a_socket(self, pick: int, kind: int, by_cookie: bool) -> None:
        headers, cookies = Ground.attacker.credentials["session" if by_cookie else "key"]
        if by_cookie:
            cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
            sent, messages = {"origin": "http://testserver", "cookie": cookie}, []
        else:
            sent, messages = {}, [{"type": "auth", "token": headers["Authorization"].removeprefix("Bearer ")}]
        message = {**self._body(pick), "type": Ground.messages[kind % len(Ground.messages)], "client_id": str(uuid4())}
        message |= {name: self._id(name, pick) for name in ("stream", "generation_id", "conversation_id")}
        if pick % 2:
            message.pop("tenant_id", None)  # which is refused before anything else is looked at
        heard = Ground.product.socket(sent, [*messages, message])
        assert heard and heard[0]["type"] == "ready", heard
        self._look(Answer(0, repr(heard).encode()), f"{message['type']} on a socket")
        self._unchanged(message["type"])

    @rule(picks=st.lists(_picks, min_size=2, max_size=6))
    def everybody_at_once(self, picks: list[int]) -> None:
        """Both sides read at the same time, on one connection: a scope that stays behind would show."""
        paths = self._own_paths(Ground.victim)
        theirs = [Ground.victim.call("GET", paths[pick % len(paths)], CREDENTIALS[pick % 4]) for pick in picks]
        paths = self._own_paths(Ground.attacker)
        ours = [Ground.attacker.call("GET", paths[pick % len(paths)], CREDENTIALS[pick % 4]) for pick in picks]
        answers = Ground.product.call(*(call for pair in zip(theirs, ours, strict=True) for call in pair))
        for call, answer in zip(theirs, answers[::2], strict=True):
            self._own(call.path, answer, Ground.victim, Ground.attacker)
        for call, answer in zip(ours, answers[1::2], strict=True):
            self._own(call.path, answer, Ground.attacker, Ground.victim)
        self.before = Ground.victim.rows()  # some of what the victim reads is noted

    @rule(pick=_picks, fail_at=st.integers(min_value=1, max_value=9), write=st.booleans())
    def read_after_a_failure(self, pick: int, fail_at: int, write: bool) -> None:
        """A statement of the victim's request fails in the database; the attacker is next on that connection."""
        faults = Ground.product.faults
        faults.fail_at = fail_at
        paths = self._own_paths(Ground.victim)
        question = {"message": f"{Ground.victim.canary} again", "models": [MODEL]}
        call = (
            Ground.victim.call("POST", "/v1/chat/messages", json=question)
            if write
            else Ground.victim.call("GET", paths[pick % len(paths)])
        )
        Ground.product.call(call)
        faults.fail_at = 0
        self.before = Ground.victim.rows()
        paths = self._own_paths(Ground.attacker)
        path = paths[pick % len(paths)]
        (answer,) = Ground.product.call(Ground.attacker.call("GET", path))
        self._own(path, answer, Ground.attacker, Ground.victim)

    @invariant()
    def nothing_stays_behind(self) -> None:
        assert Ground.product.scope_left_behind() == "", "a tenant's scope outlived its transaction"

    # What it looks at -----------------------------------------------------------------------------------------------

    def _own_paths(self, side: Side) -> list[str]:
        assert side.finished is not None
        return [
            f"/api/v1/conversations/{side.finished.conversation_id}/messages/",
            f"/api/v1/conversations/{side.finished.conversation_id}/",
            "/api/v1/conversations/",
            "/api/v1/api-keys/",
            "/api/v1/accounts/me/",
            "/api/v1/audit/export/",
            "/api/v1/members/",
            "/v1/models",
            f"/v1/chat/streams/{side.finished.turn_id}",
        ]

    def _own(self, path: str, answer: Answer, side: Side, other: Side) -> None:
        """The control: whoever may, can."""
        assert answer.status == 200, f"{side.name} got {answer.status} at {path}: {answer.told[-300:]!r}"
        assert side.canary.encode() in answer.told, f"{side.name} misses its own at {path}"
        assert other.canary.encode() not in answer.told, f"{side.name} got what is {other.name}'s at {path}"
        Ground.allowed += 1

    def _attack(self, method: str, path: str, credential: str, **more: Any) -> None:
        (answer,) = Ground.product.call(Ground.attacker.call(method, path, credential, **more))
        told = f"{method} {path} by {credential}"
        self._look(answer, told)
        # Whether the installation is ready is no secret: nobody works for it here. 501 says that there is no such part.
        expected = answer.status < 500 or answer.status == 501 or path == "/readyz"
        assert expected, f"{told} broke: {answer.status} {answer.told[-300:]!r}"
        Ground.denied += answer.status in (401, 403, 404, 409)
        self._unchanged(told)
        if method in WRITES and answer.status < 400:
            self._stand_up_again()

    def _look(self, answer: Answer, told: str) -> None:
        assert Ground.victim.canary.encode() not in answer.told, f"{told} gave what is the victim's"

    def _unchanged(self, told: str) -> None:
        after = Ground.victim.rows()
        changed = [table for table in after if after[table] != self.before[table]]
        assert changed == [], f"{told} changed rows of the victim in {changed}"

    def _stand_up_again(self) -> None:
        """What succeeded may have ended the attacker's own credentials, place or chat: the rest would be vacuous."""
        side = Ground.attacker
        paths = self._own_paths(side)[:1]
        calls = [side.call("GET", path, credential) for path in paths for credential in CREDENTIALS]
        calls += [side.call("GET", "/scim/v2/Users", "directory"), side.call("GET", "/manage/", "desk")]
        if any(answer.status != 200 for answer in Ground.product.call(*calls)):
            side.replace_owner()
            side.furnish()
            give_back_connections()
