"""Things of one side, made anew for one request: what may be used up by it, or ended."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from uuid import UUID, uuid4

import jwt
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction

from apps.accounts import oidc_accounts
from apps.conversations import services as conversations
from apps.tenants import membership, provisioned_teams, provisioning
from apps.tenants import services as tenants
from apps.tenants.contracts import Scope, Via
from apps.tenants.edge import tokens
from apps.tenants.models import IdentityProvider, Membership, ModelRule, ProvisionedUser, Team, TeamMember, Tenant
from apps.tenants.scope import tenant_scope
from tests.isolation.product import give_back_connections
from tests.isolation.world import Side
from tests.people import new_member, new_owner

Ids = dict[str, str]


def made(side: Side, names: Iterable[str]) -> Ids:
    """An id or text for each name, of things that belong together; every text holds the side's canary."""
    ids: Ids = {}
    for name in names:
        if name not in ids:
            ids |= MAKERS[name](side, ids)
    give_back_connections()
    return ids


def _turn(side: Side, _: Ids) -> Ids:
    turn = side.answered()
    generation = turn.generations[0]
    return {
        "conversation_id": str(turn.conversation_id),
        "turn_id": str(turn.turn_id),
        "generation_id": str(generation.generation_id),
        "stream_id": str(generation.generation_id),
    }


def _deleted(side: Side, ids: Ids) -> Ids:
    found = _turn(side, ids)["conversation_id"]
    conversations.delete(side.principal, UUID(found))
    return {"deleted_id": found}


def _waiting(side: Side, _: Ids) -> Ids:
    return {"waiting_id": str(side.asked().generations[0].generation_id)}


def _membership(side: Side, _: Ids) -> Ids:
    person = new_member(side.principal, f"{side.canary}colleague")
    row = Membership.objects.using("engine").get(tenant_id=side.principal.tenant_id, user_id=person.user_id)
    return {"membership_id": str(row.id)}


def _second_owner(side: Side, _: Ids) -> Ids:
    """Somebody beside whom an owner may go."""
    return {"second_owner": str(new_member(side.principal, f"{side.canary}heir", "owner").user_id)}


def _suspended(side: Side, ids: Ids) -> Ids:
    found = _membership(side, ids)["membership_id"]
    Membership.objects.using("engine").filter(id=found).update(suspended_at="2026-01-01T00:00:00Z")
    return {"suspended_id": found}


def _team(side: Side, _: Ids) -> Ids:
    name = f"{side.canary} team {uuid4().hex[:8]}"
    return {"team_id": str(Team.objects.using("engine").create(tenant_id=side.principal.tenant_id, name=name).id)}


def _team_member(side: Side, ids: Ids) -> Ids:
    """A member of the team that was made before."""
    found = _membership(side, ids)["membership_id"]
    TeamMember.objects.using("engine").create(
        tenant_id=side.principal.tenant_id, team_id=ids["team_id"], membership_id=found
    )
    return {"team_member_id": found}


def _key(side: Side, _: Ids) -> Ids:
    return {"key_id": str(tenants.create_api_key(side.principal, f"{side.canary} key").id)}


def _rotated_key(side: Side, _: Ids) -> Ids:
    key = tenants.create_api_key(side.principal, f"{side.canary} rotated")
    tenants.rotate_api_key(side.principal, key.id, 3600)
    return {"rotated_key_id": str(key.id), "secret_prefix": key.prefix}


def _directory_key(side: Side, _: Ids) -> Ids:
    return {"directory_key_id": str(tenants.create_api_key(side.principal, f"{side.canary} key", [Scope.SCIM]).id)}


def _family(side: Side, _: Ids) -> Ids:
    pair = tokens.issue(side.principal, f"{side.canary} program")
    return {"family": str(jwt.decode(pair.access, options={"verify_signature": False})["family"])}


def _invitation(side: Side, _: Ids) -> Ids:
    opened = membership.invite(side.principal, f"{side.canary}-{uuid4().hex[:8]}@example.org", "member")
    return {"invitation_id": str(opened.id)}


def _provider(side: Side, _: Ids) -> Ids:
    slug = f"{side.canary}-{uuid4().hex[:8]}".lower()
    row = IdentityProvider.objects.using("engine").create(
        tenant_id=side.principal.tenant_id,
        slug=slug,
        name=f"{side.canary} sign-in",
        issuer=f"https://{slug}.example/",
        client_id=side.canary,
    )
    return {"provider_id": str(row.id)}


def _connected_provider(side: Side, ids: Ids) -> Ids:
    found = _provider(side, ids)["provider_id"]
    with transaction.atomic():
        oidc_accounts.add(side.principal.user_id, UUID(found), side.canary)
    return {"connected_id": found}


def _tier(side: Side, _: Ids, name: str = "tier") -> Ids:
    tier = f"{name}{uuid4().hex[:8]}"[:40]
    ModelRule.objects.using("engine").create(tenant_id=side.principal.tenant_id, tier=tier, roles=["owner"])
    return {"tier": tier}


def _directory_user(side: Side, _: Ids) -> Ids:
    by = replace(side.principal, via=Via.SCIM)
    kept = provisioning.create_user(by, {"userName": f"{side.canary}-{uuid4().hex[:8]}@example.org"})
    return {"directory_user_id": kept["id"]}


def _directory_group(side: Side, _: Ids) -> Ids:
    by = replace(side.principal, via=Via.SCIM)
    kept = provisioned_teams.create_group(by, {"displayName": f"{side.canary} group {uuid4().hex[:8]}"})
    return {"directory_group_id": kept["id"]}


def _security_key(side: Side, _: Ids) -> Ids:
    row = Authenticator.objects.create(
        user_id=side.principal.user_id, type=Authenticator.Type.WEBAUTHN, data={"name": f"{side.canary} passkey"}
    )
    return {"pk": str(row.pk)}


def _session(side: Side, _: Ids) -> Ids:
    """Another browser of this side's owner."""
    store = SessionStore()
    store.create()
    row = UserSession.objects.create(
        user_id=side.principal.user_id, session_key=store.session_key, ip="10.0.0.1", user_agent=side.canary
    )
    return {"session_id": str(row.pk)}


def _waiting_tenant(side: Side, _: Ids) -> Ids:
    """A third tenant, whose directory has named this side's owner."""
    tenant_id = new_owner("Third", f"{side.canary} third").tenant_id
    row = Membership.objects.using("engine").create(
        tenant_id=tenant_id, user_id=side.principal.user_id, role="member", suspended_at="2026-01-01T00:00:00Z"
    )
    with tenant_scope(tenant_id):
        ProvisionedUser.objects.create(tenant_id=tenant_id, membership_id=row.id, user_name=side.email, pending=True)
    return {"waiting_tenant_id": str(tenant_id)}


def _tenant_name(side: Side, _: Ids) -> Ids:
    return {"tenant_name": Tenant.objects.using("engine").get(id=side.principal.tenant_id).name}


def _secret(side: Side, _: Ids) -> Ids:
    """The link by which a third tenant invites this side's owner."""
    host = new_owner("Third", f"{side.canary} third")
    return {"secret": membership.invite(host, side.email, "member").secret}


MAKERS: dict[str, Callable[[Side, Ids], Ids]] = {
    **dict.fromkeys(("conversation_id", "turn_id", "generation_id", "stream_id"), _turn),
    "deleted_id": _deleted,
    "waiting_id": _waiting,
    "membership_id": _membership,
    "second_owner": _second_owner,
    "suspended_id": _suspended,
    "team_id": _team,
    "team_member_id": _team_member,
    "key_id": _key,
    **dict.fromkeys(("rotated_key_id", "secret_prefix"), _rotated_key),
    "directory_key_id": _directory_key,
    "family": _family,
    "invitation_id": _invitation,
    "provider_id": _provider,
    "connected_id": _connected_provider,
    "tier": _tier,  # not the canary: whoever tries a name, has a rule of that name
    "canary_tier": lambda side, ids: {"canary_tier": _tier(side, ids, side.canary)["tier"]},
    "slug": lambda side, _: {"slug": side.model},
    "directory_user_id": _directory_user,
    "directory_group_id": _directory_group,
    "pk": _security_key,
    "session_id": _session,
    "waiting_tenant_id": _waiting_tenant,
    "secret": _secret,
    "tenant_id": lambda side, _: {"tenant_id": str(side.principal.tenant_id)},
    "tenant_name": _tenant_name,
    "canary": lambda side, _: {"canary": side.canary},
    "new_slug": lambda side, _: {"new_slug": f"{side.canary}-{uuid4().hex[:8]}"},
}
