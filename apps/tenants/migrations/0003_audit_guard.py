from django.db import migrations

# The serving roles have no privilege for it; this stops the owner too, and whoever is granted one by mistake.
# ALWAYS: also where a session has switched ordinary triggers off.
_GUARD = """
CREATE FUNCTION tenants_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever appended to' USING ERRCODE = '42501';
END $$;
CREATE TRIGGER tenants_audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tenants_auditentry
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_audit_append_only();
ALTER TABLE tenants_auditentry ENABLE ALWAYS TRIGGER tenants_audit_append_only;
"""


class Migration(migrations.Migration):
    """Nobody changes or removes an audit entry, not even the tables' owner."""

    dependencies = [("tenants", "0002_identity")]

    operations = [migrations.RunSQL(_GUARD, "DROP FUNCTION tenants_audit_append_only() CASCADE")]
