from django.db import migrations

# Sealing the same secret again gives another text, so an unchanged text means that it was not given again.
_GUARD = """
CREATE FUNCTION tenants_secret_stays_at_its_issuer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sealed_secret <> '' AND NEW.sealed_secret = OLD.sealed_secret AND NEW.issuer IS DISTINCT FROM OLD.issuer THEN
        RAISE EXCEPTION 'another issuer needs the client''s secret again' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tenants_secret_stays_at_its_issuer BEFORE UPDATE ON tenants_identityprovider
    FOR EACH ROW EXECUTE FUNCTION tenants_secret_stays_at_its_issuer();
"""


class Migration(migrations.Migration):
    """A company's client secret is never sent to an issuer it was not given for, whichever door a change comes by."""

    dependencies = [("tenants", "0005_directory")]

    operations = [migrations.RunSQL(_GUARD, "DROP FUNCTION tenants_secret_stays_at_its_issuer() CASCADE")]
