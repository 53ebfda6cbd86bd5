"""A workspace for one caller of the published API, and things in it that operations can be tried on.

Whatever an operation uses up is made anew for the next call, by a second owner or in the caller's own name, so that a
run does not starve on what it has deleted.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from apps.conversations import requests
from apps.conversations import services as conversations
from apps.conversations.contracts import TurnAccepted
from apps.tenants import identity_providers, membership, selectors, services, teams, token_families
from apps.tenants.contracts import Principal
from apps.tenants.edge import tokens
from apps.tenants.models import Membership, Tenant
from apps.tenants.scope import tenant_scope
from tests.people import PASSWORD, new_member, new_owner


class Workspace:
    """A tenant with a caller in `role`. `model` is the slug of a model that answers at once."""

    def __init__(self, role: str, model: str) -> None:
        self.keeper = new_owner("Keeper", f"Workspace {uuid4().hex[:12]}")
        self.caller = new_member(self.keeper, f"The-{role}", role)
        self.model = model
        self._things: dict[tuple[str, str], str] = {}

    def thing(self, operation_id: str, name: str) -> str:
        """A real value for a parameter: the same one until the operation has used it up."""
        place = (operation_id, name)
        if place not in self._things:
            self._things[place] = str(getattr(self, f"_{name}")(operation_id))
        return self._things[place]

    def used(self, operation_id: str) -> None:
        """What this operation had is used up."""
        for place in [place for place in self._things if place[0] == operation_id]:
            del self._things[place]

    def set_right(self) -> None:
        """Undo what would keep the caller from being who they are."""
        tenant_id = self.caller.tenant_id
        with tenant_scope(tenant_id):
            Tenant.objects.filter(id=tenant_id).update(requires_second_factor=False, name=self.caller.tenant_name)
        self._become(self.caller.role)

    def _become(self, role: str) -> None:
        with tenant_scope(self.caller.tenant_id):
            own = Membership.objects.filter(tenant_id=self.caller.tenant_id, user_id=self.caller.user_id)
            own.update(role=role)

    @contextmanager
    def _asking(self) -> Iterator[Principal]:
        """The caller as they were when they might ask: a viewer, too, has chats and keys of that time."""
        if self.caller.role != "viewer":
            yield self.caller
            return
        self._become("member")
        try:
            yield replace(self.caller, role="member")
        finally:
            self._become("viewer")

    def sign_in(self) -> tokens.TokenPair:
        return tokens.issue(self.caller, "A program")

    def body(self, operation_id: str, body: dict[str, Any]) -> dict[str, Any]:
        """A body of the right shape, with names of things that exist put into it."""
        fill: Callable[[dict[str, Any]], dict[str, Any]] | None = getattr(self, f"_in_{operation_id}", None)
        return body if fill is None else body | {name: it for name, it in fill(body).items() if name in body}

    def _in_chat_ask(self, body: dict[str, Any]) -> dict[str, Any]:
        if "model" in body:
            body.pop("models", None)
        known = {"models": [self.model] * min(2, len(body.get("models", ()))), "model": self.model}
        if body.get("conversation_id") is not None:
            known["conversation_id"] = None
        return known

    def _in_openai_chat_completion(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 16}

    _in_anthropic_message = _in_anthropic_count_tokens = _in_openai_chat_completion

    def _in_openai_response(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"model": self.model, "input": "Hello"}

    def _in_openai_embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"model": f"{self.model}-vectors", "input": "Hello"}

    def _in_accounts_token_create(self, body: dict[str, Any]) -> dict[str, Any]:
        body.pop("otp", None)
        # Not as the caller: the server writes a quick hash of tests anew, and what was signed in before has ended then.
        return {"email": self.keeper.user_email, "password": PASSWORD, "tenant": str(self.keeper.tenant_id)}

    def _in_accounts_token_refresh(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"refresh": self.sign_in().refresh}

    _in_accounts_token_revoke = _in_accounts_token_refresh

    def _in_teams_create(self, body: dict[str, Any]) -> dict[str, Any]:
        # Names are taken once.
        return {"name": f"{body['name'][:100]} {uuid4().hex[:12]}"} if isinstance(body.get("name"), str) else {}

    _in_teams_rename = _in_teams_create

    def _in_members_transfer(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"confirmation": self.caller.tenant_name}

    def _in_model_rules_set(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"teams": [self.thing("model_rules_set", "team_id")]}

    def _in_identity_providers_create(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**_provider(), "slug": f"acme-{uuid4().hex[:12]}", "kind": "oidc"}

    def _in_identity_providers_change(self, body: dict[str, Any]) -> dict[str, Any]:
        return _provider()

    def _family(self, operation_id: str) -> UUID:
        before = {one.id for one in token_families.families(self.caller)}
        self.sign_in()
        return next(one.id for one in token_families.families(self.caller) if one.id not in before)

    def _key_id(self, operation_id: str) -> UUID:
        with self._asking() as person:
            return services.create_api_key(person, "A key").id

    def _prefix(self, operation_id: str) -> str:
        """Of the secret that the operation's key had before it was rotated."""
        key_id = UUID(self.thing(operation_id, "key_id"))
        with self._asking() as person:
            services.rotate_api_key(person, key_id, 3600)
            (key,) = [one for one in selectors.api_keys(person) if one.id == key_id]
        return key.earlier_secrets[0].prefix

    def _in_api_keys_create(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"models": [self.model], "team": None}

    def _turn(self) -> TurnAccepted:
        asked = requests.turn_request({"message": "What is a lease?", "model": self.model}, None)
        with self._asking() as person:
            return conversations.start_turn(person, asked)

    def _conversation_id(self, operation_id: str) -> UUID:
        conversation_id = self._turn().conversation_id
        if operation_id == "conversations_restore":
            with self._asking() as person:
                conversations.delete(person, conversation_id)
        return conversation_id

    def _generation_id(self, operation_id: str) -> UUID:
        return self._turn().generations[0].generation_id

    def _stream_id(self, operation_id: str) -> UUID:
        return self._turn().turn_id

    def _provider_id(self, operation_id: str) -> UUID:
        for provider in identity_providers.providers(self.keeper):
            identity_providers.remove(self.keeper, provider.id)
        change = identity_providers.Change(slug=f"acme-{uuid4().hex[:12]}", kind="oidc", **_provider())
        return identity_providers.add(self.keeper, change).id

    def _invitation_id(self, operation_id: str) -> UUID:
        return membership.invite(self.keeper, f"guest-{uuid4().hex[:12]}@example.org", "member").id

    def _membership_id(self, operation_id: str) -> UUID:
        member = new_member(self.keeper, "Colleague")
        found = _membership_of(member)
        if operation_id == "teams_member_remove":
            teams.add_member(self.keeper, UUID(self.thing(operation_id, "team_id")), found)
        return found

    def _team_id(self, operation_id: str) -> UUID:
        return teams.create_team(self.keeper, f"Team {uuid4().hex[:12]}")

    def _tier(self, operation_id: str) -> str:
        tier = f"tier-{uuid4().hex[:8]}"
        teams.set_model_rule(self.keeper, tier, ["member"], [])
        return tier

    def _slug(self, operation_id: str) -> str:
        return self.model


def _membership_of(member: Principal) -> UUID:
    with tenant_scope(member.tenant_id):
        return Membership.objects.get(tenant_id=member.tenant_id, user_id=member.user_id).id


def _provider() -> dict[str, Any]:
    return {"name": "Acme", "issuer": "https://sign-in.example.org", "directory_id": "", "client_id": "c-1"}
