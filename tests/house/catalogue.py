"""What the database's catalogue may say: every global table and every privilege of the serving roles, with its reason.

A new table or grant belongs here together with its migration; the test that compares them prints both sides.
"""

# Tables without `tenant_id`. They hold no tenant's data.
GLOBAL_TABLES = {
    "account_emailaddress": "a person's addresses; sign-in looks people up before any tenant is known",
    "account_emailconfirmation": "django-allauth's own; not used, confirmations are signed and not stored",
    "accounts_failedtries": "failed sign-ins by a keyed digest, counted before anybody is known",
    "accounts_failurenote": "when failures of a person's sign-in were told; a person may belong to several tenants",
    "accounts_pendingnote": "what is still to be told to each tenant of a person",
    "accounts_rateuse": "uses of what is limited by a digest, counted before anybody is known",
    "accounts_spentproof": "solved puzzles that were used, before anybody is known",
    "accounts_user": "one person may belong to several tenants; sign-in looks people up before any tenant is known",
    "accounts_user_groups": "Django's own; not used, roles are memberships",
    "accounts_user_user_permissions": "Django's own; operators are superusers",
    "allauth_idp_oidc_client": "programs that may ask people to sign in, registered by operators for everybody",
    "allauth_idp_oidc_token": "their tokens, found by a hash before anybody is known",
    "auth_group": "Django's own; not used",
    "auth_group_permissions": "Django's own; not used",
    "auth_permission": "Django's own list of permissions",
    "conversations_worker": "worker processes serve every tenant",
    "django_admin_log": "what operators did, across tenants",
    "django_content_type": "Django's own list of models",
    "django_migrations": "which migrations ran",
    "django_session": "opaque sessions, found by their random key before anybody is known",
    "mfa_authenticator": "a person's second factors, asked for before a tenant is chosen",
    "socialaccount_socialaccount": "who a person is at an identity provider, looked up before any tenant is known",
    "socialaccount_socialapp": "django-allauth's own; not used, providers are tenants' rows",
    "socialaccount_socialtoken": "django-allauth's own; not used, providers' tokens are not kept",
    "tenants_flag": "the installation's feature flags; operators name tenants in them",
    "tenants_flag_groups": "django-waffle's own; not used",
    "tenants_flag_users": "people a flag is on for",
    "tenants_tenant": "the tenant itself: its `id` is the tenant, and its policies compare that",
    "usersessions_usersession": "which devices a person is signed in on; a person may belong to several tenants",
    "waffle_flag": "django-waffle's own; not used, `tenants_flag` stands for it",
    "waffle_flag_groups": "django-waffle's own; not used",
    "waffle_flag_users": "django-waffle's own; not used",
    "waffle_sample": "django-waffle's own; the installation's",
    "waffle_switch": "django-waffle's own; the installation's",
}

# Global tables with policies of their own all the same.
GUARDED_GLOBAL_TABLES = {"accounts_user", "conversations_worker", "tenants_tenant"}

# Policies of `app` beside "rows of the current tenant": (table, name) -> (command, reason).
FURTHER_APP_POLICIES = {
    ("billing_quota", "members_delete"): ("DELETE", "never the tenant's own limits, which operators set"),
    ("billing_quota", "members_insert"): ("INSERT", "never the tenant's own limits, which operators set"),
    ("billing_quota", "members_update"): ("UPDATE", "never the tenant's own limits, which operators set"),
    ("accounts_user", "look_up"): ("SELECT", "sign-in"),
    ("accounts_user", "sign_up"): ("INSERT", "sign-up; never as staff or superuser"),
    ("accounts_user", "own_change"): ("UPDATE", "last sign-in, name, password; never staff or superuser (no grant)"),
    ("routing_cacheevidence", "offered"): ("SELECT", "measurements of the model that comes with the product"),
    ("routing_deployment", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("routing_languagemodel", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("routing_price", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("routing_routingpolicy", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("routing_provider", "offered"): ("SELECT", "the installation's catalogue is offered to everybody"),
    ("tenants_membership", "own"): ("SELECT", "which tenants may I enter"),
    ("tenants_tenant", "own"): ("SELECT", "and what are they called"),
    ("tenants_tenant", "tenant"): ("ALL", "the current tenant's own row"),
}

# What `app` may do with global tables. Privileges as GRANT spells them.
APP_ON_GLOBAL_TABLES = {
    "account_emailaddress": "SELECT, INSERT, UPDATE, DELETE",
    "account_emailconfirmation": "SELECT, DELETE",
    "accounts_failedtries": "SELECT, INSERT, UPDATE, DELETE",
    "accounts_pendingnote": "INSERT",
    "accounts_rateuse": "SELECT, INSERT, UPDATE, DELETE",
    "accounts_spentproof": "SELECT, INSERT, UPDATE, DELETE",
    "accounts_user": "SELECT, INSERT, UPDATE (email, is_active, last_login, name, password)",
    "accounts_user_groups": "SELECT",
    "accounts_user_user_permissions": "SELECT",
    "allauth_idp_oidc_client": "SELECT",
    "allauth_idp_oidc_token": "SELECT, INSERT, UPDATE, DELETE",
    "auth_group": "SELECT",
    "auth_group_permissions": "SELECT",
    "auth_permission": "SELECT",
    "django_admin_log": "SELECT, INSERT",
    "django_content_type": "SELECT",
    "django_migrations": "SELECT",
    "django_session": "SELECT, INSERT, UPDATE, DELETE",
    "mfa_authenticator": "SELECT, INSERT, UPDATE, DELETE",
    "socialaccount_socialaccount": "SELECT, INSERT, UPDATE, DELETE",
    "socialaccount_socialapp": "SELECT",
    "tenants_flag": "SELECT",
    "tenants_flag_groups": "SELECT",
    "tenants_flag_users": "SELECT",
    "tenants_tenant": (
        "SELECT, INSERT, UPDATE "
        "(max_cost_nanousd, max_first_token_ms, max_output_tokens, name, requires_second_factor, summaries)"
    ),
    "usersessions_usersession": "SELECT, INSERT, UPDATE, DELETE",
    "waffle_sample": "SELECT",
    "waffle_switch": "SELECT",
}

_ADMINISTRATION = "the administration, which crosses tenants"

# Everything `engine` may do, and why that crosses tenants by nature.
ENGINE_GRANTS = {
    "account_emailaddress": ("SELECT", "operators look up whose an address is"),
    "accounts_failurenote": ("SELECT, INSERT, UPDATE, DELETE", "failures are told to each tenant of a person"),
    "accounts_pendingnote": ("SELECT, DELETE", "notes are told to each tenant of a person"),
    "accounts_user": ("SELECT, INSERT, UPDATE", "operators; key lookup asks whether the person is active"),
    "accounts_user_groups": ("SELECT, INSERT, DELETE", "Django's own, from the administration"),
    "accounts_user_user_permissions": ("SELECT, INSERT, DELETE", "Django's own, from the administration"),
    "allauth_idp_oidc_client": ("SELECT, INSERT, UPDATE, DELETE", "operators register programs"),
    "allauth_idp_oidc_token": ("SELECT, DELETE", "what a removed person or program holds ends"),
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
    "django_session": ("SELECT (session_key), DELETE", "sessions end with the company's sign-in that opened them"),
    "mfa_authenticator": (
        "SELECT, UPDATE (data), DELETE",
        "operators help people who lost their second factor; what is sealed in it is sealed anew under the next key",
    ),
    "routing_cacheevidence": ("SELECT, INSERT, DELETE", "operators measure the semantic cache"),
    "routing_cachesettings": ("SELECT, INSERT, UPDATE", "operators switch a tenant's caches"),
    "routing_deployment": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "routing_semanticanswer": (
        "SELECT (id, kept_at, model, tenant_id), DELETE",
        "operators forget stored answers; questions and answers cannot be read",
    ),
    "routing_languagemodel": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "routing_price": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "routing_routingevidence": ("SELECT, INSERT, UPDATE", "operators evaluate routing"),
    "routing_safetyrules": ("SELECT, INSERT, UPDATE", "operators set what a workspace screens"),
    "routing_safetyverdict": ("SELECT, DELETE", "operators see how often rules find something; old ones are forgotten"),
    "routing_routingpolicy": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "routing_provider": ("SELECT, INSERT, UPDATE, DELETE", "operators keep the catalogue"),
    "tenants_apikey": (
        "SELECT, INSERT, UPDATE (last_used_at, revoked_at)",
        "a key is looked up before its tenant is known; operators revoke",
    ),
    "tenants_earliersecret": ("SELECT", "a key is looked up before its tenant is known"),
    "socialaccount_socialaccount": ("SELECT", "operators look up who signs in with whose company"),
    "tenants_auditentry": ("SELECT, INSERT", "what operators and jobs did; verified and exported, never changed"),
    "tenants_flag": ("SELECT, INSERT, UPDATE, DELETE", "operators keep flags"),
    "tenants_flag_groups": ("SELECT, INSERT, UPDATE, DELETE", "operators keep flags"),
    "tenants_flag_users": ("SELECT, INSERT, UPDATE, DELETE", "operators keep flags"),
    "tenants_identityprovider": (
        "SELECT, INSERT, UPDATE, DELETE",
        f"the sign-in page finds a company's provider before its tenant is known; {_ADMINISTRATION}",
    ),
    "tenants_invitation": ("SELECT", "an invitation is found by its secret before its tenant is known"),
    "tenants_membership": ("SELECT, INSERT, UPDATE, DELETE", f"key lookup; {_ADMINISTRATION}"),
    "tenants_modelrule": ("SELECT, INSERT, UPDATE, DELETE", _ADMINISTRATION),
    "tenants_provisioneduser": ("SELECT, DELETE", "goes with its membership"),
    "tenants_refreshtoken": (
        "SELECT, UPDATE (revoked_at), DELETE",
        "a token is found by its hash before its tenant is known; ended with a membership; old ones are swept",
    ),
    "tenants_team": ("SELECT, INSERT, UPDATE, DELETE", _ADMINISTRATION),
    "tenants_teammember": ("SELECT, INSERT, UPDATE, DELETE", _ADMINISTRATION),
    "tenants_tenant": ("SELECT, INSERT, UPDATE", f"key lookup; {_ADMINISTRATION}"),
    "usersessions_usersession": ("SELECT, DELETE", "operators end people's sessions"),
    "waffle_sample": ("SELECT", "django-waffle's own"),
    "waffle_switch": ("SELECT", "django-waffle's own"),
}
