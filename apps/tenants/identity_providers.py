"""A company's own sign-in: which providers a tenant has set up, and whom they let in.

Before somebody signs in no tenant is known, so a provider is found by its slug as `engine`. From there on everything
happens in the provider's tenant and in no other: a provider says who somebody is in its own tenant, and nowhere else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from uuid6 import uuid7

from apps.accounts import oidc_accounts
from apps.accounts import selectors as accounts
from apps.accounts.contracts import is_storable
from apps.accounts.errors import InvalidAccount
from apps.accounts.oidc_errors import AccountExists, SignInRefused
from apps.outbound import Policy, Refused
from apps.problems import Conflict, Invalid
from apps.tenants import audit, features, provider_secrets, provider_sessions, provisioning, selectors
from apps.tenants.contracts import Principal
from apps.tenants.errors import NotFound
from apps.tenants.features import Feature
from apps.tenants.models import IdentityProvider, Membership, Tenant
from apps.tenants.policy import Action, require
from apps.tenants.scope import tenant_scope

Kind = IdentityProvider.Kind
# Nobody becomes an owner by signing in.
ROLES = tuple(role for role in Membership.Role.values if role != Membership.Role.OWNER)
MAX_PROVIDERS = 10  # per tenant
MAX_SECRET = 1000

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,58}[a-z0-9])\Z")
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_SIGNS_IN_AT = ("issuer", "directory_id", "client_id")


class InvalidIdentityProvider(Invalid):
    """The provider cannot be kept like this; `fields` says what is wrong."""

    code = "invalid_identity_provider"


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as it is used and shown; its secret is asked for by `secret_of` alone."""

    id: UUID
    tenant_id: UUID
    slug: str
    name: str
    kind: str
    issuer: str
    directory_id: str
    client_id: str
    default_role: str
    enabled: bool
    has_secret: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What an administrator gives. `secret` empty keeps the one there is."""

    slug: str
    name: str
    kind: str
    client_id: str
    issuer: str = ""
    directory_id: str = ""
    secret: str = ""
    default_role: str = Membership.Role.MEMBER
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a provider has signed in, as verified claims say it."""

    subject: str
    email: str
    name: str


def by_slug(slug: str) -> Provider | None:
    """The enabled provider with this sign-in name, of an active tenant that may use it; read across tenants."""
    rows = IdentityProvider.objects.using("engine").filter(slug=slug.strip().lower()[:60], enabled=True)
    row = rows.filter(tenant__status=Tenant.Status.ACTIVE, tenant__deleted_at=None).first()
    return _provider(row) if row and features.is_on(Feature.COMPANY_SIGN_IN, row.tenant_id) else None


def secret_of(provider: Provider) -> str:
    """The client's secret, for the call that needs it; empty for a client without one."""
    sealed = IdentityProvider.objects.using("engine").values_list("sealed_secret", flat=True).get(id=provider.id)
    return provider_secrets.open_secret(provider.id, sealed) or ""


def providers(principal: Principal) -> list[Provider]:
    """Those of the caller's tenant, by name."""
    with tenant_scope(principal.tenant_id):
        rows = IdentityProvider.objects.filter(tenant_id=principal.tenant_id)
        return [_provider(row) for row in rows.order_by("name", "id")]


def add(principal: Principal, change: Change) -> Provider:
    """Set up a provider. Raises `Forbidden`, `FeatureOff`, `InvalidIdentityProvider`, `Conflict` at the limit."""
    require(principal, Action.IDENTITY_MANAGE)
    features.require(Feature.COMPANY_SIGN_IN, principal.tenant_id)
    change = _checked(change, kept=None)
    row = IdentityProvider(id=uuid7(), tenant_id=principal.tenant_id, slug=change.slug, kind=change.kind)
    _apply(row, change)
    with tenant_scope(principal.tenant_id):
        if IdentityProvider.objects.filter(tenant_id=principal.tenant_id).count() >= MAX_PROVIDERS:
            raise Conflict(f"There are {MAX_PROVIDERS} providers already. Remove one that is not needed.")
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError as error:
            if "slug" not in str(error):
                raise
            raise _invalid(slug="This sign-in name is taken. Choose another.") from error
        _record(principal, "identity_provider.added", row, _told(row))
    return _provider(row)


def change(principal: Principal, provider_id: UUID, change: Change) -> Provider:
    """Change a provider; sign-in name and kind stay. Another issuer, directory or client demands the secret again.

    Under another issuer the same subject is somebody else, so who signed in so far is forgotten with it. What it
    opened ends then, and when it is switched off (`provider_sessions`).
    Raises `Forbidden`, `FeatureOff`, `NotFound`, `InvalidIdentityProvider`.
    """
    require(principal, Action.IDENTITY_MANAGE)
    features.require(Feature.COMPANY_SIGN_IN, principal.tenant_id)
    with tenant_scope(principal.tenant_id):
        row = _mine(principal, provider_id)
        change = _checked(replace(change, slug=row.slug, kind=row.kind), kept=row)
        before = _told(row)
        _apply(row, change)
        after = _told(row)
        changed = {name: value for name, value in after.items() if value != before[name]}
        turned = bool(changed.keys() & {"issuer", "directory_id"})
        if turned or changed.get("enabled") is False:
            changed |= provider_sessions.opened_by(row)
        row.save(update_fields=[*_SIGNS_IN_AT, "name", "sealed_secret", "default_role", "enabled"])
        if change.secret:
            changed["secret"] = "replaced"  # noqa: S105 - that it was, and never which
        if turned:
            changed["identities_forgotten"] = oidc_accounts.remove_all(row.id)
        if changed:
            _record(principal, "identity_provider.changed", row, changed)
    return _provider(row)


def remove(principal: Principal, provider_id: UUID) -> None:
    """Remove a provider, who is who there and what it opened. Accounts and memberships stay.

    Raises `Forbidden`, `NotFound`.
    """
    require(principal, Action.IDENTITY_MANAGE)
    with tenant_scope(principal.tenant_id):
        row = _mine(principal, provider_id)
        told = _told(row) | provider_sessions.opened_by(row)
        told["identities_forgotten"] = oidc_accounts.remove_all(row.id)
        IdentityProvider.objects.filter(tenant_id=principal.tenant_id, id=row.id).delete()
        _record(principal, "identity_provider.removed", row, told)


def person_of(provider: Provider, claims: Mapping[str, Any]) -> Person:
    """Whom verified claims name. At Entra that is directory and object, never an address. Raises `SignInRefused`."""
    subject = str(claims["sub"])
    if provider.kind == Kind.ENTRA:
        directory, person = str(claims.get("tid", "")).lower(), str(claims.get("oid", "")).lower()
        if directory != provider.directory_id or not person:
            raise SignInRefused("You signed in with the account of another organisation. Use the one of your company.")
        subject = f"{directory}:{person}"
    if not subject or len(subject) > oidc_accounts.MAX_SUBJECT or not is_storable(subject):
        raise SignInRefused(f"{provider.name} did not say who you are.")
    email = next((text for text in map(claims.get, ("email", "preferred_username")) if _is_address(text)), "")
    name = claims.get("name")
    if not isinstance(name, str) or not name.strip() or not is_storable(name):
        name = str(email).partition("@")[0]
    return Person(subject, str(email).strip().lower(), name)


def admit(provider: Provider, person: Person) -> UUID:
    """The account that signs in. The first time it is made, as a member of the provider's tenant.

    Raises `SignInRefused` for a membership that is suspended or has ended, `AccountExists` where the e-mail address is
    that of an account which is not known to sign in here.
    """
    user_id = oidc_accounts.owner(provider.id, person.subject)
    if user_id is None:
        return _first_time(provider, person)
    if selectors.principal_for(user_id, provider.tenant_id) is None:
        raise SignInRefused("Your membership is suspended or has ended. Ask an administrator of your organisation.")
    return user_id


def connect(principal: Principal, provider: Provider, person: Person) -> None:
    """Let the caller sign in with this identity from now on. Raises `NotFound`, `Conflict` for somebody else's."""
    if provider.tenant_id != principal.tenant_id:
        raise NotFound("There is no such sign-in.")
    with tenant_scope(principal.tenant_id):
        if not oidc_accounts.add(principal.user_id, provider.id, person.subject):
            raise Conflict("This company account belongs to another account here. Sign in with it instead.")
        target = ("identity_provider", provider.id)
        audit.record(principal.tenant_id, audit.Actor.of(principal), "identity.connected", target=target)


def disconnect(principal: Principal, provider_id: UUID) -> None:
    """Forget who the caller is at a provider of this tenant. Raises `NotFound`."""
    with tenant_scope(principal.tenant_id):
        row = _mine(principal, provider_id)
        if not oidc_accounts.remove(principal.user_id, row.id):
            raise NotFound("You are not connected there.")
        target = ("identity_provider", row.id)
        audit.record(principal.tenant_id, audit.Actor.of(principal), "identity.disconnected", target=target)


def _first_time(provider: Provider, person: Person) -> UUID:
    if (named := _named_by_directory(provider, person)) is not None:
        return named
    if not person.email:
        raise SignInRefused(f"{provider.name} did not tell your e-mail address. Your administrator can have it sent.")
    account = oidc_accounts.new_account(person.email, person.name)
    try:
        with tenant_scope(provider.tenant_id, user_id=account.id):
            if accounts.id_by_email(person.email) is not None:
                raise _exists(person)
            oidc_accounts.insert(account, provider.id, person.subject)
            membership = Membership(tenant_id=provider.tenant_id, user_id=account.id, role=provider.default_role)
            membership.save(force_insert=True)
            audit.record(
                provider.tenant_id,
                audit.Actor(account.id, account.email, "session"),
                "member.joined",
                target=("membership", membership.id),
                data={"user_id": account.id, "role": provider.default_role, "identity_provider_id": provider.id},
            )
    except InvalidAccount as error:
        raise _exists(person) from error
    except IntegrityError as error:  # the same person in two windows at once
        if "socialaccount" not in str(error):
            raise
        raise Conflict("You are signing in elsewhere at this moment. Begin again.") from error
    return account.id


def _named_by_directory(provider: Provider, person: Person) -> UUID | None:
    """The account that the company's directory made for this person before they first came, by the company's own id."""
    external_id = person.subject.rpartition(":")[2] if provider.kind == Kind.ENTRA else person.subject
    with tenant_scope(provider.tenant_id):
        user_id = provisioning.unclaimed_account(provider.tenant_id, external_id)
        if user_id is None or not oidc_accounts.add(user_id, provider.id, person.subject):
            return None
        actor = audit.Actor(user_id, person.email or external_id, "session")
        target = ("identity_provider", provider.id)
        audit.record(provider.tenant_id, actor, "identity.connected", target=target, data={"external_id": external_id})
    return user_id


def _exists(person: Person) -> AccountExists:
    return AccountExists(
        f"There is an account with {person.email} already, and accounts are never joined by their e-mail address. "
        "Sign in with your password, open Settings, Company sign-in, and connect the two."
    )


def _is_address(text: Any) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return len(text) <= 254 and is_storable(text)


def _mine(principal: Principal, provider_id: UUID) -> IdentityProvider:
    row = IdentityProvider.objects.filter(tenant_id=principal.tenant_id, id=provider_id).first()
    if row is None:
        raise NotFound("There is no such provider.")
    return row


def _checked(change: Change, kept: IdentityProvider | None) -> Change:
    """The change in one spelling. Raises `InvalidIdentityProvider` naming each field at fault."""
    name, client_id = change.name.strip(), change.client_id.strip()
    issuer, directory = change.issuer.strip(), change.directory_id.strip().lower()
    wrong: dict[str, list[str]] = {}
    if kept is None and not _SLUG.match(change.slug):
        wrong["slug"] = ["Use 3 to 60 of a-z, 0-9 and hyphens."]
    if not name or len(name) > 120 or not is_storable(name):
        wrong["name"] = ["Give it a name of at most 120 characters."]
    if not client_id or len(client_id) > 200 or not client_id.isprintable():
        wrong["client_id"] = ["Copy the client id from the provider."]
    if change.kind not in Kind.values:
        wrong["kind"] = [f"Choose one of {', '.join(Kind.values)}."]
    if change.default_role not in ROLES:
        wrong["default_role"] = [f"Choose one of {', '.join(ROLES)}."]
    if len(change.secret) > MAX_SECRET or not is_storable(change.secret):
        wrong["secret"] = [f"Use at most {MAX_SECRET} characters."]
    if change.kind == Kind.ENTRA:
        issuer, found = _entra_issuer(issuer, directory)
        wrong |= found
    else:
        directory = ""
        if reason := _wrong_with_issuer(issuer):
            wrong["issuer"] = [reason]
    change = replace(change, name=name, client_id=client_id, issuer=issuer, directory_id=directory)
    moved = kept is not None and any(getattr(kept, field) != getattr(change, field) for field in _SIGNS_IN_AT)
    if moved and kept is not None and kept.sealed_secret and not change.secret:
        wrong["secret"] = ["Give the client's secret again: it would be sent to another place."]
    if wrong:
        raise InvalidIdentityProvider("The provider cannot be kept like this.", fields=wrong)
    return change


def _entra_issuer(issuer: str, directory: str) -> tuple[str, dict[str, list[str]]]:
    """Entra's issuer follows from the directory; one that is for several organisations is none."""
    if not _GUID.match(directory):
        return issuer, {"directory_id": ["Copy the directory (tenant) id. “common” and the like let anybody in."]}
    known = [f"{authority}/{directory}/v2.0" for authority in settings.ENTRA_AUTHORITIES]
    if issuer and issuer.lower().rstrip("/") not in known:
        return issuer, {"issuer": [f"For this directory the issuer is {known[0]}."]}
    return issuer.lower().rstrip("/") or known[0], {}


def _wrong_with_issuer(issuer: str) -> str:
    parts = urlsplit(issuer)
    if len(issuer) > 400 or not parts.hostname or parts.query or parts.fragment or not issuer.isascii():
        return "Copy the issuer's address from the provider, beginning with https://."
    if parts.hostname.startswith("login.microsoftonline"):
        return "Choose Microsoft Entra for this provider."
    try:
        Policy.parse(settings.ENV.outbound_allow).check_url(issuer)
    except Refused:
        return "This address is not one that may be called from here."
    return ""


def _apply(row: IdentityProvider, change: Change) -> None:
    row.name, row.issuer, row.directory_id = change.name, change.issuer, change.directory_id
    row.client_id, row.default_role, row.enabled = change.client_id, change.default_role, change.enabled
    if change.secret:
        row.sealed_secret = provider_secrets.seal(row.id, change.secret)


def _told(row: IdentityProvider) -> dict[str, Any]:
    names = ("slug", "name", "kind", "issuer", "directory_id", "client_id", "default_role", "enabled")
    return {name: getattr(row, name) for name in names}


def _record(principal: Principal, action: str, row: IdentityProvider, data: dict[str, Any]) -> None:
    target = ("identity_provider", row.id)
    audit.record(principal.tenant_id, audit.Actor.of(principal), action, target=target, data=data)


def _provider(row: IdentityProvider) -> Provider:
    return Provider(
        id=row.id,
        tenant_id=row.tenant_id,
        slug=row.slug,
        name=row.name,
        kind=row.kind,
        issuer=row.issuer,
        directory_id=row.directory_id,
        client_id=row.client_id,
        default_role=row.default_role,
        enabled=row.enabled,
        has_secret=bool(row.sealed_secret),
    )


def _invalid(**fields: str) -> InvalidIdentityProvider:
    listed = {name: [message] for name, message in fields.items()}
    return InvalidIdentityProvider("The provider cannot be kept like this.", fields=listed)
