from django.db import migrations

# Whoever ends a membership (a page, a directory, the administration, a hand in the database) ends with it what was
# made under it. Otherwise a person who comes back would find old keys working again that nobody remembers.
_END = """
CREATE FUNCTION tenants_end_with_membership() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants_apikey SET revoked_at = clock_timestamp()
        WHERE tenant_id = OLD.tenant_id AND user_id = OLD.user_id AND revoked_at IS NULL;
    UPDATE tenants_refreshtoken SET revoked_at = clock_timestamp()
        WHERE tenant_id = OLD.tenant_id AND user_id = OLD.user_id AND revoked_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_membership_suspended AFTER UPDATE OF suspended_at ON tenants_membership
    FOR EACH ROW WHEN (OLD.suspended_at IS NULL AND NEW.suspended_at IS NOT NULL)
    EXECUTE FUNCTION tenants_end_with_membership();
CREATE TRIGGER tenants_membership_removed AFTER DELETE ON tenants_membership
    FOR EACH ROW EXECUTE FUNCTION tenants_end_with_membership();
"""


class Migration(migrations.Migration):
    """API keys and refresh tokens end with the membership they were made under, however it ends."""

    dependencies = [("tenants", "0003_audit_guard")]

    operations = [
        migrations.RunSQL(_END, migrations.RunSQL.noop),
        # Deleting a membership in the administration deletes what a directory said of it.
        migrations.RunSQL(
            "GRANT DELETE ON tenants_provisioneduser TO switchboard_engine", migrations.RunSQL.noop
        ),
    ]
