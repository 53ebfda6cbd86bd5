from django.db import migrations

_APP, _ENGINE = "switchboard_app", "switchboard_engine"
_OWN = "account_emailaddress, mfa_authenticator, usersessions_usersession, socialaccount_socialaccount"

# What an operator's account proves itself with is changed by the administration alone, so that a hole in the
# application cannot make anybody an operator.
_GUARD = """
CREATE FUNCTION accounts_guard_operators() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.is_staff AND current_user = 'switchboard_app' AND (
        NEW.password IS DISTINCT FROM OLD.password OR NEW.email IS DISTINCT FROM OLD.email
        OR NEW.is_active IS DISTINCT FROM OLD.is_active
    ) THEN
        RAISE EXCEPTION 'an operator''s account is changed in the administration' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_guard_operators BEFORE UPDATE ON accounts_user
    FOR EACH ROW EXECUTE FUNCTION accounts_guard_operators();
"""


class Migration(migrations.Migration):
    """What the serving roles may do with the tables of signing in: people are global, and so are these."""

    dependencies = [
        ("accounts", "0002_framework_grants"),
        ("account", "0009_emailaddress_unique_primary_email"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("usersessions", "0001_initial"),
        ("socialaccount", "0006_alter_socialaccount_extra_data"),
        ("allauth_idp_oidc", "0003_client_allow_uri_wildcards"),
        ("waffle", "0004_update_everyone_nullbooleanfield"),
    ]

    operations = [
        migrations.RunSQL(
            [
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON {_OWN} TO {_APP}",
                f"GRANT SELECT ON allauth_idp_oidc_client, socialaccount_socialapp TO {_APP}",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON allauth_idp_oidc_token TO {_APP}",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON {_OWN}, allauth_idp_oidc_client TO {_ENGINE}",
                f"GRANT SELECT, DELETE ON allauth_idp_oidc_token TO {_ENGINE}",
                f"GRANT SELECT ON waffle_switch, waffle_sample TO {_APP}, {_ENGINE}",
                f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {_APP}, {_ENGINE}",
                _GUARD,
            ],
            migrations.RunSQL.noop,
        ),
    ]
