"""For each route and method the request that its owner may make: a refusal of others proves nothing without it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.isolation.surface import Route

OK = (200, 201, 202, 204, 302)
REFUSED = (403, 404)
_NAMED = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Control:
    """One request.

    `places`: what belongs into the path where that is not what its name says. Texts in braces in a body are filled in
    alike, and `beside` is made too. `denied` and `allowed` are the statuses others and the owner get. `personal`: other
    members of the same tenant are refused too. `shows`: the owner's answer holds what is theirs. `ends`: afterwards the
    owner has to be made anew. `takes`: the table out of which the owner's request takes the row, where a status says
    nothing.
    """

    method: str
    template: str
    credential: str
    json: Any = None
    form: Mapping[str, str] | None = None
    places: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    denied: tuple[int, ...] = REFUSED
    allowed: tuple[int, ...] = OK
    personal: bool = False
    shows: bool = False
    ends: bool = False
    takes: str = ""

    @property
    def route(self) -> Route:
        return Route.of(self.template)

    def needs(self) -> tuple[str, ...]:
        """What has to be made for it: ids in the path and in the body."""
        in_path = [self.places.get(name, name) for name in self.route.names]
        return tuple(dict.fromkeys([*in_path, *_NAMED.findall(f"{self.json} {self.form}"), *self.beside]))

    def path(self, ids: Mapping[str, str]) -> str:
        return self.route.path({name: ids[self.places.get(name, name)] for name in self.route.names})

    def body(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """As arguments of a call."""
        filled = {"json": _filled(self.json, ids), "form": _filled(self.form, ids)}
        return {name: value for name, value in filled.items() if value is not None}

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def _filled(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _NAMED.sub(lambda found: ids[found[1]], value)
    if isinstance(value, Mapping):
        return {name: _filled(one, ids) for name, one in value.items()}
    return [_filled(one, ids) for one in value] if isinstance(value, list) else value


def _page(method: str, template: str, **more: Any) -> Control:
    return Control(method, template, "session", **more)


def _rest(method: str, template: str, **more: Any) -> Control:
    return Control(method, f"/api/v1{template}", "key", **more)


def _program(method: str, template: str, **more: Any) -> Control:
    return Control(method, f"/v1{template}", "key", **more)


def _directory(method: str, template: str, **more: Any) -> Control:
    return Control(method, f"/scim/v2{template}", "directory", **more)


_MINE = {"personal": True}
_CHAT = "/chat/%(conversation_id)s"
_PROVIDER = {"name": "Sign-in", "client_id": "x", "issuer": "https://sign-in.example.org/", "secret": "again"}
_NEW_PROVIDER = {**_PROVIDER, "slug": "{new_slug}", "kind": "oidc"}
_PATCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "replace", "path": "displayName", "value": "{new_slug}"}],
}
_FILTER = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 10}
_WORKSPACE = "/settings/workspace"
_TEAM = f"{_WORKSPACE}/teams/%(team_id)s"
_SIGN_IN = f"{_WORKSPACE}/sign-in/%(provider_id)s"
_CONNECTED = {"provider_id": "connected_id"}  # somebody signs in there
_QUESTION = {"message": "hello", "models": ["probe"]}
_SAID = [{"role": "user", "content": "hello"}]
_CACHES = {
    "exact": "on",
    "exact_ttl_minutes": "5",
    "scope": "own",
    "threshold": "0.9",
    "semantic_ttl_days": "7",
    "max_entries": "100",
}
_EARLIER_SECRET = {"key_id": "rotated_key_id", "prefix": "secret_prefix"}
_WITH_TEAM_MEMBER = {"membership_id": "team_member_id"}

CHATS = [
    _page("GET", "/chat/", shows=True),
    _page("GET", "/chat/list", shows=True),
    _page("GET", f"{_CHAT}/", shows=True, **_MINE),
    _page("GET", f"{_CHAT}/turns", shows=True, **_MINE),
    _page("GET", f"{_CHAT}/turns/%(turn_id)s", shows=True, **_MINE),
    _page("GET", "/chat/answers/%(generation_id)s/prompt", shows=True, **_MINE),
    _page("POST", f"{_CHAT}/rename", form={"title": "renamed"}, **_MINE),
    _page("POST", f"{_CHAT}/delete", **_MINE),
    _page("POST", f"{_CHAT}/restore", places={"conversation_id": "deleted_id"}, **_MINE),
    _program("POST", "/chat/messages", json={**_QUESTION, "conversation_id": "{conversation_id}"}, **_MINE),
    _program("GET", "/chat/streams/%(stream_id)s", shows=True, **_MINE),
    _program("POST", "/chat/generations/%(generation_id)s/cancel", places={"generation_id": "waiting_id"}, **_MINE),
    _program("POST", "/chat/generations/%(generation_id)s/retry", **_MINE),
    # Nobody answers for this model: the owner comes as far as its provider.
    _program("POST", "/chat/completions", json={"model": "probe", "messages": _SAID}, allowed=(502, 503)),
    _program("POST", "/responses", json={"model": "probe", "input": "hello"}, allowed=(502, 503)),
    _program("POST", "/messages", json={"model": "probe", "messages": _SAID, "max_tokens": 9}, allowed=(502, 503)),
    _program("POST", "/messages/count_tokens", json={"model": "probe", "messages": _SAID}),
    # No model here turns texts into vectors.
    _program("POST", "/embeddings", json={"model": "probe", "input": "hello"}, allowed=(404,)),
    _program("GET", "/models", shows=True),
    _program("GET", "/models/%(slug)s", shows=True),
    _rest("GET", "/models/", shows=True),
    _rest("GET", "/catalogue/", shows=True),
    _rest("GET", "/caches/"),
    _rest("PATCH", "/caches/", json={"exact": True}),
    _rest("GET", "/conversations/", shows=True),
    _rest("GET", "/conversations/%(conversation_id)s/", shows=True, **_MINE),
    _rest("PATCH", "/conversations/%(conversation_id)s/", json={"title": "renamed"}, **_MINE),
    _rest("DELETE", "/conversations/%(conversation_id)s/", **_MINE),
    _rest("POST", "/conversations/%(conversation_id)s/restore/", places={"conversation_id": "deleted_id"}, **_MINE),
    _rest("GET", "/conversations/%(conversation_id)s/messages/", shows=True, **_MINE),
    _rest("GET", "/generations/%(generation_id)s/prompt/", shows=True, **_MINE),
]

ACCOUNTS = [
    _rest("GET", "/accounts/me/", shows=True),
    _rest("PATCH", "/accounts/me/", json={"instructions": "Be brief."}),
    Control("GET", "/api/v1/accounts/tokens/", "session", shows=True, beside=("family",)),
    _rest("DELETE", "/accounts/tokens/%(family)s/", **_MINE),
    _rest("GET", "/api-keys/", shows=True),
    Control("POST", "/api/v1/api-keys/", "session", json={"name": "another"}),
    _rest("DELETE", "/api-keys/%(key_id)s/", **_MINE),
    _rest("DELETE", "/api-keys/%(key_id)s/secrets/%(prefix)s/", places=_EARLIER_SECRET, **_MINE),
    Control("POST", "/api/v1/api-keys/%(key_id)s/rotate/", "session", json={"overlap_seconds": 60}, **_MINE),
    _rest("POST", "/api-keys/revoke-all/", ends=True),
    _page("GET", "/settings/about-you/", shows=True),
    _page("POST", "/settings/about-you/", form={"instructions": "I sail."}),
    _page("GET", "/settings/keys/", shows=True),
    _page("POST", "/settings/keys/", form={"name": "another"}),
    _page("POST", "/settings/keys/%(key_id)s/revoke/", **_MINE),
    _page("POST", "/settings/keys/%(key_id)s/rotate/", form={"overlap_seconds": "3600"}, **_MINE),
    _page("POST", "/settings/keys/%(key_id)s/secrets/%(prefix)s/end/", places=_EARLIER_SECRET, **_MINE),
    _page("GET", "/join/", shows=True, beside=("waiting_tenant_id",)),
    _page("POST", "/join/%(tenant_id)s/", places={"tenant_id": "waiting_tenant_id"}, **_MINE),
    _page("POST", "/invitation/%(secret)s/accept/", ends=True, **_MINE),
    _page("GET", "/settings/company-sign-in/", shows=True, beside=("provider_id",)),
    # The owner is told that the password is wrong; others, that there is no such provider.
    _page(
        "POST", "/settings/company-sign-in/%(provider_id)s/connect/", form={"password": "no"}, denied=(404,),
        allowed=(400,),
    ),
    _page(
        "POST", "/settings/company-sign-in/%(provider_id)s/disconnect/", places=_CONNECTED,
    ),
    Control("GET", "/account/second-factor/webauthn/keys/%(pk)s/edit/", "desk", **_MINE),
    Control("POST", "/account/second-factor/webauthn/keys/%(pk)s/remove/", "desk", **_MINE),
    _page("GET", "/account/email/", shows=True),
    # Everybody is told that it has ended; it is the owner's word alone that ends it.
    _page("POST", "/account/sessions/%(session_id)s/end/", denied=(302,), takes="usersessions_usersession", **_MINE),
]  # fmt: skip

_SCREENING = {
    **{
        f"{way}_{what}_action": "flag"
        for way in ("prompt", "answer")
        for what in ("secret", "pii", "abuse", "injection")
    },
    **{
        f"{way}_{what}_threshold": "50"
        for way in ("prompt", "answer")
        for what in ("secret", "pii", "abuse", "injection")
    },
    "margin_characters": "0",
    "moderation_model": "",
    "moderation_prompt": "allow",
    "moderation_answer": "allow",
    "moderation_threshold": "50",
    "moderation_step_characters": "600",
}
WORKSPACE = [
    _page("GET", f"{_WORKSPACE}/", shows=True),
    _page("POST", f"{_WORKSPACE}/", form={"email": "{new_slug}@example.org", "role": "member"}),
    _page("POST", f"{_WORKSPACE}/change/", form={"name": "{canary} renamed"}),
    _page(
        "POST", f"{_WORKSPACE}/transfer/", form={"membership_id": "{membership_id}", "confirmation": "{tenant_name}"},
        denied=(400, *REFUSED), ends=True,
    ),
    _page("POST", f"{_WORKSPACE}/switch/", form={"tenant_id": "{tenant_id}"}),
    _page("POST", f"{_WORKSPACE}/members/%(membership_id)s/role/", form={"role": "viewer"}),
    _page("POST", f"{_WORKSPACE}/members/%(membership_id)s/suspend/"),
    _page("POST", f"{_WORKSPACE}/members/%(membership_id)s/reactivate/", places={"membership_id": "suspended_id"}),
    _page("POST", f"{_WORKSPACE}/invitations/%(invitation_id)s/withdraw/"),
    _page("POST", f"{_WORKSPACE}/invitations/%(invitation_id)s/renew/"),
    _page("GET", f"{_WORKSPACE}/general/", shows=True),
    _page("GET", f"{_WORKSPACE}/answers/", shows=True),
    _page("POST", f"{_WORKSPACE}/answers/", form={"instructions": "Be brief."}),
    _page("GET", f"{_WORKSPACE}/caches/", shows=True),
    _page("POST", f"{_WORKSPACE}/caches/", form=_CACHES),
    _page("GET", f"{_WORKSPACE}/safety/", shows=True),
    _page("POST", f"{_WORKSPACE}/safety/", form=_SCREENING),
    _page("POST", f"{_WORKSPACE}/leave/", form={"confirmation": "{tenant_name}"}, beside=("second_owner",), ends=True),
    _page("GET", f"{_WORKSPACE}/rules/", shows=True, beside=("canary_tier",)),
    _page("GET", f"{_WORKSPACE}/teams/", shows=True, beside=("team_id",)),
    _page("POST", f"{_WORKSPACE}/teams/", form={"name": "{new_slug}"}),
    _page("POST", f"{_TEAM}/rename/", form={"name": "{new_slug}"}),
    _page("POST", f"{_TEAM}/delete/"),
    _page("POST", f"{_TEAM}/members/", form={"membership_id": "{membership_id}"}),
    _page("POST", f"{_TEAM}/members/%(membership_id)s/remove/", places=_WITH_TEAM_MEMBER),
    _page("POST", f"{_WORKSPACE}/rules/", form={"tier": "x", "roles": "owner", "teams": "{team_id}"},
          denied=(400, 404)),
    # Tiers are names that each tenant gives: another's is one of one's own, and what is asked is that theirs stays.
    _page("POST", f"{_WORKSPACE}/rules/remove/", form={"tier": "{tier}"}, denied=(302, 404)),
    _page("GET", f"{_WORKSPACE}/audit/", shows=True),
    _page("POST", f"{_WORKSPACE}/audit/export/", form={"file": "csv"}, shows=True),
    _page("GET", f"{_WORKSPACE}/sign-in/", shows=True, beside=("provider_id",)),
    _page("POST", f"{_WORKSPACE}/sign-in/", form=_NEW_PROVIDER | {"default_role": "member"}),
    _page("GET", f"{_SIGN_IN}/", shows=True),
    _page("POST", f"{_SIGN_IN}/", form=_PROVIDER | {"default_role": "member"}, places=_CONNECTED),
    _page("POST", f"{_SIGN_IN}/remove/", places=_CONNECTED),
    _page("GET", f"{_WORKSPACE}/directory/", shows=True),
    _page("POST", f"{_WORKSPACE}/directory/", form={"name": "another"}),
    _page("POST", f"{_WORKSPACE}/directory/%(key_id)s/revoke/", places={"key_id": "directory_key_id"}),
]  # fmt: skip

WORKSPACE_REST = [
    _rest("GET", "/tenant/", shows=True),
    _rest("PATCH", "/tenant/", json={"name": "{canary} renamed"}),
    _rest("GET", "/members/", shows=True),
    _rest("PATCH", "/members/%(membership_id)s/", json={"role": "viewer"}),
    _rest("DELETE", "/members/%(membership_id)s/"),
    # By a session: a key knows the workspace's name of two seconds ago.
    Control("POST", "/api/v1/members/%(membership_id)s/transfer/", "session", json={"confirmation": "{tenant_name}"},
            denied=(400, *REFUSED), ends=True),
    Control("POST", "/api/v1/members/leave/", "session", json={"confirmation": "{tenant_name}"},
            beside=("second_owner",), ends=True),
    _rest("GET", "/invitations/", shows=True, beside=("invitation_id",)),
    _rest("POST", "/invitations/", json={"email": "{new_slug}@example.org"}),
    _rest("DELETE", "/invitations/%(invitation_id)s/"),
    _rest("POST", "/invitations/%(invitation_id)s/renew/"),
    _rest("GET", "/teams/", shows=True, beside=("team_id",)),
    _rest("POST", "/teams/", json={"name": "{new_slug}"}),
    _rest("PATCH", "/teams/%(team_id)s/", json={"name": "{new_slug}"}),
    _rest("DELETE", "/teams/%(team_id)s/"),
    _rest("PUT", "/teams/%(team_id)s/members/%(membership_id)s/"),
    _rest("DELETE", "/teams/%(team_id)s/members/%(membership_id)s/", places=_WITH_TEAM_MEMBER),
    _rest("GET", "/model-rules/", shows=True, beside=("canary_tier",)),
    _rest("PUT", "/model-rules/%(tier)s/", json={"roles": ["owner"], "teams": ["{team_id}"]}, denied=(400, 404)),
    _rest("DELETE", "/model-rules/%(tier)s/", denied=(204, 404)),
    _rest("GET", "/safety/"),
    _rest("GET", "/usage/"),
    _rest("PATCH", "/safety/", json={"margin_characters": 20}),
    _rest("GET", "/safety/verdicts/"),
    _rest("GET", "/audit/", shows=True),
    _rest("GET", "/audit/export/", shows=True),
    _rest("GET", "/identity-providers/", shows=True, beside=("provider_id",)),
    _rest("POST", "/identity-providers/", json=_NEW_PROVIDER),
    _rest("GET", "/identity-providers/%(provider_id)s/", shows=True),
    _rest("PUT", "/identity-providers/%(provider_id)s/", json=_PROVIDER, places=_CONNECTED),
    _rest("DELETE", "/identity-providers/%(provider_id)s/", places=_CONNECTED),
]  # fmt: skip

_USER, _GROUP = {"resource_id": "directory_user_id"}, {"resource_id": "directory_group_id"}
DIRECTORY = [
    _directory("GET", "/Users", shows=True, beside=("directory_user_id",)),
    _directory("POST", "/Users", json={"userName": "{new_slug}@example.org"}),
    _directory("POST", "/Users/.search", json=_FILTER, shows=True, beside=("directory_user_id",)),
    _directory("GET", "/Users/%(resource_id)s", places=_USER, shows=True),
    _directory("PUT", "/Users/%(resource_id)s", places=_USER, json={"userName": "{new_slug}@example.org"}),
    _directory("PATCH", "/Users/%(resource_id)s", places=_USER, json=_PATCH),
    _directory("DELETE", "/Users/%(resource_id)s", places=_USER),
    _directory("GET", "/Groups", shows=True, beside=("directory_group_id",)),
    _directory("POST", "/Groups", json={"displayName": "{new_slug}"}),
    _directory("POST", "/Groups/.search", json=_FILTER, shows=True, beside=("directory_group_id",)),
    _directory("GET", "/Groups/%(resource_id)s", places=_GROUP, shows=True),
    _directory("PUT", "/Groups/%(resource_id)s", places=_GROUP,
               json={"displayName": "{new_slug}", "members": [{"value": "{directory_user_id}"}]}),
    _directory("PATCH", "/Groups/%(resource_id)s", places=_GROUP, json=_PATCH),
    _directory("DELETE", "/Groups/%(resource_id)s", places=_GROUP),
    _directory("GET", "/ServiceProviderConfig"),
    _directory("GET", "/ResourceTypes"),
    _directory("GET", "/Schemas"),
]  # fmt: skip

CONTROLS = [*CHATS, *ACCOUNTS, *WORKSPACE, *WORKSPACE_REST, *DIRECTORY]

# (method or *, path): why nobody but its owner could be told from others.
WITHOUT_CONTROL = {
    ("*", "/scim/v2/ResourceTypes/%(name)s"): "describes the protocol, and no row",
    ("*", "/scim/v2/Schemas/%(name)s"): "describes the protocol, and no row",
    ("*", "/scim/v2/Bulk"): "not implemented, for everybody",
    ("*", "/scim/v2/Me"): "not implemented, for everybody",
    ("*", "/scim/v2/.search"): "not implemented, for everybody",
    ("*", "/sso/%(slug)s/"): "sends anybody to a company's own sign-in",
    ("*", "/sso/%(slug)s/callback/"): "the state in the browser's session is the credential: tests/identity",
    ("*", "/invitation/%(secret)s/"): "the link's secret is the credential",
    ("*", "/account/confirm-email/%(key)s/"): "the link's secret is the credential",
    ("*", "/account/password/reset/key/%(uidb36)s-%(key)s/"): "the link's secret is the credential",
    ("*", "/identity/o/authorize"): "needs a program and signing keys: tests/isolation/test_tokens.py",
}
