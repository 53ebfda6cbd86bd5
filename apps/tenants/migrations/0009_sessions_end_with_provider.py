from django.db import migrations, models

# Whoever switches a company's sign-in off, removes it or turns it to other people (a page, the administration, a hand
# in the database) ends with it what its word had opened.
_END = """
CREATE FUNCTION tenants_end_with_provider() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants_refreshtoken SET revoked_at = clock_timestamp()
        WHERE tenant_id = OLD.tenant_id AND identity_provider = OLD.id AND revoked_at IS NULL;
    WITH gone AS (
        DELETE FROM usersessions_usersession WHERE data ->> 'identity_provider' = OLD.id::text RETURNING session_key
    )
    DELETE FROM django_session s USING gone WHERE s.session_key = gone.session_key;
    RETURN NULL;
END $$;
-- What was agreed to before, and comes to be used only now, is too late.
CREATE FUNCTION tenants_provider_turned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.turned_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER tenants_provider_turned BEFORE UPDATE ON tenants_identityprovider
    FOR EACH ROW WHEN (
        (OLD.enabled AND NOT NEW.enabled)
        OR OLD.issuer IS DISTINCT FROM NEW.issuer OR OLD.directory_id IS DISTINCT FROM NEW.directory_id
    ) EXECUTE FUNCTION tenants_provider_turned();
CREATE TRIGGER tenants_provider_changed AFTER UPDATE ON tenants_identityprovider
    FOR EACH ROW WHEN (
        (OLD.enabled AND NOT NEW.enabled)
        OR OLD.issuer IS DISTINCT FROM NEW.issuer OR OLD.directory_id IS DISTINCT FROM NEW.directory_id
    ) EXECUTE FUNCTION tenants_end_with_provider();
CREATE TRIGGER tenants_provider_removed AFTER DELETE ON tenants_identityprovider
    FOR EACH ROW EXECUTE FUNCTION tenants_end_with_provider();

CREATE INDEX usersessions_usersession_provider ON usersessions_usersession ((data ->> 'identity_provider'))
    WHERE data ->> 'identity_provider' IS NOT NULL;
CREATE INDEX tenants_refreshtoken_provider ON tenants_refreshtoken (tenant_id, identity_provider)
    WHERE identity_provider IS NOT NULL;
-- For the administration, which can read these keys in the list of sessions already.
GRANT SELECT (session_key), DELETE ON django_session TO switchboard_engine;
"""


class Migration(migrations.Migration):
    """Sessions and programs' sign-ins end with the company's sign-in that opened them."""

    dependencies = [("tenants", "0008_residency"), ("accounts", "0006_counts_and_notes")]

    operations = [
        migrations.AddField(
            model_name="refreshtoken",
            name="identity_provider",
            field=models.UUIDField(
                help_text="The company's sign-in whose session it was agreed to in; it ends with that.", null=True
            ),
        ),
        migrations.AddField(
            model_name="identityprovider",
            name="turned_at",
            field=models.DateTimeField(
                editable=False, help_text="When it was last switched off, or turned to other people.", null=True
            ),
        ),
        migrations.RunSQL(_END, migrations.RunSQL.noop),
    ]
