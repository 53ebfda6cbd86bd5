"""Whether a principal found earlier still stands: asked once more before work is accepted, and while connections stay.

What was found at the door may be seconds old (keys are remembered) or hours (sockets stay open).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connections
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.accounts.selectors import fingerprint
from apps.tenants.contracts import Principal, tenant_of_session
from apps.tenants.errors import CredentialRefused


class Standing(StrEnum):
    """What has become of a principal since it was found."""

    STANDS = "stands"
    CHANGED = "changed"  # may come back, and will be somebody with other rights
    ENDED = "ended"


_STILL_STANDS = """
SELECT (
    SELECT m.role = %(role)s AND u.is_active AND t.status = 'active' AND t.deleted_at IS NULL
    FROM tenants_tenant t, accounts_user u WHERE t.id = m.tenant_id AND u.id = m.user_id
) AND (%(key)s::uuid IS NULL OR EXISTS (
    SELECT 1 FROM tenants_apikey k WHERE k.tenant_id = m.tenant_id AND k.id = %(key)s AND k.user_id = m.user_id
    AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
    AND (%(prefix)s::text IS NULL OR k.prefix = %(prefix)s OR EXISTS (
        SELECT 1 FROM tenants_earliersecret e WHERE e.tenant_id = k.tenant_id AND e.api_key_id = k.id
        AND e.prefix = %(prefix)s AND e.ends_at > clock_timestamp()
    ))
)) AND (%(family)s::uuid IS NULL OR NOT EXISTS (
    SELECT 1 FROM tenants_refreshtoken r
    WHERE r.tenant_id = m.tenant_id AND r.family = %(family)s AND r.revoked_at IS NOT NULL
))
FROM tenants_membership m
WHERE m.tenant_id = %(tenant)s AND m.user_id = %(user)s AND m.suspended_at IS NULL
FOR SHARE OF m
"""

_STANDINGS = """
SELECT c.n, m.role, u.password
FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::text[], %s::uuid[])
    WITH ORDINALITY AS c (tenant_id, user_id, key_id, key_prefix, family, n)
JOIN tenants_membership m ON m.tenant_id = c.tenant_id AND m.user_id = c.user_id AND m.suspended_at IS NULL
JOIN tenants_tenant t ON t.id = c.tenant_id AND t.status = 'active' AND t.deleted_at IS NULL
JOIN accounts_user u ON u.id = c.user_id AND u.is_active
WHERE (c.key_id IS NULL OR EXISTS (
    SELECT 1 FROM tenants_apikey k WHERE k.id = c.key_id AND k.tenant_id = c.tenant_id AND k.user_id = c.user_id
    AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
    AND (c.key_prefix IS NULL OR k.prefix = c.key_prefix OR EXISTS (
        SELECT 1 FROM tenants_earliersecret e WHERE e.tenant_id = k.tenant_id AND e.api_key_id = k.id
        AND e.prefix = c.key_prefix AND e.ends_at > clock_timestamp()
    ))
)) AND (c.family IS NULL OR EXISTS (
    SELECT 1 FROM tenants_refreshtoken r WHERE r.tenant_id = c.tenant_id AND r.family = c.family
    HAVING count(*) > 0 AND bool_and(r.revoked_at IS NULL)
))
"""


def still_stands(principal: Principal) -> None:
    """Raises `CredentialRefused` unless key or sign-in, membership with that role, person and tenant are in order now.

    One statement, to be made in the transaction, in the tenant's scope, of what is to be accepted. It also holds the
    membership until that commits: a suspension comes either before, and is seen, or after, and then finds what was
    accepted.
    """
    asked: dict[str, UUID | str | None] = {
        "tenant": principal.tenant_id,
        "user": principal.user_id,
        "role": principal.role,
        "key": principal.api_key_id,
        "prefix": principal.key_prefix,
        "family": principal.proof.family if principal.proof else None,
    }
    with connections["default"].cursor() as cursor:
        cursor.execute(_STILL_STANDS, asked)
        row = cursor.fetchone()
    if row is None or row[0] is not True:
        raise CredentialRefused("The key or sign-in has ended, or the role in this workspace has changed.")


Credential = tuple[UUID, UUID, UUID | None, str | None, UUID | None]


class Register:
    """Asks for many principals at once: one statement for people, keys and sign-ins, one for sessions.

    Remembers which password hashes and sessions were looked into already, so that asking again costs little.
    """

    def __init__(self) -> None:
        self._fingerprints: dict[str, str] = {}  # password hash -> fingerprint
        self._sessions: dict[str, tuple[str, _Session]] = {}  # session key -> (as stored, as read)

    def standings(self, principals: Sequence[Principal]) -> list[Standing]:
        """What has become of each, in order. Crosses tenants, and so asks as `engine`. Not for two threads at once."""
        found = self._people({_credential(one) for one in principals})
        sessions = self._read_sessions({one.proof.session_key for one in principals if one.proof} - {None})
        return [self._standing(one, found.get(_credential(one)), sessions) for one in principals]

    def _standing(self, principal: Principal, found: "_Found | None", sessions: dict[str, "_Session"]) -> Standing:
        if found is None:
            return Standing.ENDED
        proof = principal.proof
        if proof is not None:
            if proof.fingerprint != found.fingerprint:
                return Standing.ENDED
            if proof.session_key is not None:
                session = sessions.get(proof.session_key)
                if session is None or session.user_id != str(principal.user_id):
                    return Standing.ENDED
                if session.tenant_id not in (principal.tenant_id, None):
                    return Standing.CHANGED
        same = principal.role == found.role
        return Standing.STANDS if same else Standing.CHANGED

    def _people(self, credentials: Iterable[Credential]) -> dict[Credential, "_Found"]:
        asked = list(credentials)
        columns = [list(column) for column in zip(*asked, strict=True)]
        if not columns:
            return {}
        with connections["engine"].cursor() as cursor:
            cursor.execute(_STANDINGS, columns)
            rows = cursor.fetchall()
        known, self._fingerprints = self._fingerprints, {}
        found = {}
        for number, role, password in rows:
            mark = known.get(password) or fingerprint(User(password=password))
            self._fingerprints[password] = mark
            found[asked[number - 1]] = _Found(role, mark)
        return found

    def _read_sessions(self, keys: set[Any]) -> dict[str, "_Session"]:
        if not keys:
            return {}
        stored = Session.objects.filter(session_key__in=keys, expire_date__gt=Now())
        known, self._sessions = self._sessions, {}
        for key, data in stored.values_list("session_key", "session_data"):
            earlier = known.get(key)
            self._sessions[key] = earlier if earlier and earlier[0] == data else (data, _Session.read(data))
        return {key: session for key, (_, session) in self._sessions.items()}


@dataclass(frozen=True, slots=True)
class _Found:
    role: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class _Session:
    """Whose a stored session is, and where it works; nobody's where it cannot be read."""

    user_id: str
    tenant_id: UUID | None

    @classmethod
    def read(cls, data: str) -> "_Session":
        told = import_module(settings.SESSION_ENGINE).SessionStore().decode(data)
        return cls(str(told.get(SESSION_KEY)), tenant_of_session(told))


def _credential(principal: Principal) -> Credential:
    family = principal.proof.family if principal.proof else None
    return principal.tenant_id, principal.user_id, principal.api_key_id, principal.key_prefix, family
