"""What the database's catalogue may say: every global table and every privilege of the serving roles, with its reason.

A new table or grant belongs here together with its migration; the test that compares them prints both sides.
"""

# Tables without `tenant_id`. They hold no tenant's data.
GLOBAL_TABLES = {
    "accounts_user": "one person may belong to several tenants; sign-in looks people up before any tenant is known",
    "accounts_user_groups": "Django's own; not used, roles are memberships",
    "accounts_user_user_permissions": "Django's own; operators are superusers",
    "auth_group": "Django's own; not used",
    "auth_group_permissions": "Django's own; not used",
    "auth_permission": "Django's own list of permissions",
    "conversations_worker": "worker processes serve every tenant",
    "django_admin_log": "what operators did, across tenants",
    "django_content_type": "Django's own list of models",
    "django_migrations": "which migrations ran",
    "django_session": "opaque sessions, found by their random key before anybody is known",
    "tenants_tenant": "the tenant itself: its `id` is the tenant, and its policies compare that",
}

# Global tables with policies of their own all the same.
GUARDED_GLOBAL_TABLES = {"accounts_user", "conversations_worker", "tenants_tenant"}

# Policies of `app` beside "rows of the current tenant": (table, name) -> (command, reason).
FURTHER_APP_POLICIES = {
    ("accounts_user", "look_up"): ("SELECT", "sign-in"),
    ("accounts_user", "sign_up"): ("INSERT", "sign-up; never as staff or superuser"),
    ("accounts_user", "own_change"): ("UPDATE", "last sign-in, name, password; never staff or superuser (no grant)"),
    ("routing_deployment", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("routing_languagemodel", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("routing_price", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("routing_provider", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("tenants_membership", "own"): ("SELECT", "which tenants may I enter"),
    ("tenants_tenant", "own"): ("SELECT", "and what are they called"),
    ("tenants_tenant", "tenant"): ("ALL", "the current tenant's own row"),
}

# What `app` may do with global tables. Privileges as GRANT spells them.
APP_ON_GLOBAL_TABLES = {
    "accounts_user": "SELECT, INSERT, UPDATE (email, is_active, last_login, name, password)",
    "accounts_user_groups": "SELECT",
    "accounts_user_user_permissions": "SELECT",
    "auth_group": "SELECT",
    "auth_group_permissions": "SELECT",
    "auth_permission": "SELECT",
    "django_admin_log": "SELECT, INSERT",
    "django_content_type": "SELECT",
    "django_migrations": "SELECT",
    "django_session": "SELECT, INSERT, UPDATE, DELETE",
    "tenants_tenant": "SELECT, INSERT, UPDATE (name)",
}

_ADMINISTRATION = "the administration, which crosses tenants"

# Everything `engine` may do, and why that crosses tenants by nature.
ENGINE_GRANTS = {
    "accounts_user": ("SELECT, INSERT, UPDATE", "operators; key lookup asks whether the person is active"),
    "accounts_user_groups": ("SELECT, INSERT, DELETE", "Django's own, from the administration"),
    "accounts_user_user_permissions": ("SELECT, INSERT, DELETE", "Django's own, from the administration"),
    "auth_group": ("SELECT", "Django's own"),
    "auth_group_permissions": ("SELECT", "Django's own"),
    "auth_permission": ("SELECT", "Django's own"),
    "billing_ledgerentry": ("SELECT, INSERT", "settling and rebuilding counters; lines are never changed"),
    "billing_quota": ("SELECT, INSERT, UPDATE, DELETE", "operators set quotas; counters are rebuilt from them"),
    "billing_reservation": ("SELECT, UPDATE (settled_at, state)", "reservations of dead workers are settled"),
    "conversations_attempt": ("SELECT, UPDATE (ended_at, state)", "attempts of dead workers are marked lost"),
    "conversations_conversation": ("SELECT (id, tenant_id, user_id)", "whom to hint; never titles"),
    "conversations_generation": (
        "SELECT, UPDATE (claims, cost_nanousd, error_code, error_message, error_retryable, fence, finish_reason, "
        "finished_at, owner, started_at, state, text_sha256)",
        "claiming, leases and reaping take the next row of any tenant",
    ),
    "conversations_message": (
        "SELECT (id, tenant_id), UPDATE (content, status, text)",
        "a reaped generation's message is ended; its text cannot be read",
    ),
    "conversations_worker": ("SELECT, INSERT, UPDATE, DELETE", "leases of worker processes"),
    "django_admin_log": ("SELECT, INSERT", _ADMINISTRATION),
    "django_content_type": ("SELECT", "Django's own"),
    "django_migrations": ("SELECT", "readiness asks whether migrations ran"),
    "routing_deployment": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "routing_languagemodel": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "routing_price": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "routing_provider": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "tenants_apikey": (
        "SELECT, INSERT, UPDATE (last_used_at, revoked_at)",
        "a key is looked up before its tenant is known; operators revoke",
    ),
    "tenants_membership": ("SELECT, INSERT, UPDATE, DELETE", f"key lookup; {_ADMINISTRATION}"),
    "tenants_tenant": ("SELECT, INSERT, UPDATE", f"key lookup; {_ADMINISTRATION}"),
}
