"""Refuse to serve as a role that row-level security would not bind."""

from django.db import connections

from apps.tenants.errors import UnsafeRoles

_WHAT_A_ROLE_MAY = """
    SELECT r.rolname, r.rolsuper, r.rolbypassrls,
           ARRAY(SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm')
                   AND pg_has_role(r.oid, c.relowner, 'MEMBER') ORDER BY 1),
           ARRAY(SELECT m.rolname::text FROM pg_roles m
                 WHERE (m.rolsuper OR m.rolbypassrls) AND pg_has_role(r.oid, m.oid, 'MEMBER') AND m.oid <> r.oid)
    FROM pg_roles r WHERE r.rolname = current_user"""


def refuse_unsafe_roles(aliases: tuple[str, ...] = ("default", "engine")) -> None:
    """Check the roles this process serves as; called once when a web process or a worker starts.

    Raises `UnsafeRoles` when one is a superuser, bypasses row-level security, could become a role that does, or owns
    tables (an owner may switch its table's policies off). Raises `OperationalError` when the database does not answer.
    """
    faults: list[str] = []
    for alias in aliases:
        connection = connections[alias]
        with connection.cursor() as cursor:
            cursor.execute(_WHAT_A_ROLE_MAY)
            name, superuser, bypasses, owned, stronger = cursor.fetchone()
        connection.close()
        if superuser:
            faults.append(f"{name} (alias {alias}) is a superuser: ALTER ROLE {name} NOSUPERUSER")
            continue
        if bypasses:
            faults.append(f"{name} (alias {alias}) bypasses row-level security: ALTER ROLE {name} NOBYPASSRLS")
        if stronger:
            faults.append(f"{name} (alias {alias}) is a member of {', '.join(stronger)}: REVOKE that membership")
        if owned:
            faults.append(
                f"{name} (alias {alias}) owns {', '.join(owned[:5])}{' and more' if len(owned) > 5 else ''}, "
                "or belongs to the role that does: serve as switchboard_app and switchboard_engine instead"
            )
    if faults:
        raise UnsafeRoles("Tenants would not be kept apart. " + ". ".join(faults) + ".")
