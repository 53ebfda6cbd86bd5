from django.db import migrations

# Sealing the same key again gives another text, so an unchanged text means that the key was not given again.
_GUARD = """
CREATE FUNCTION routing_key_stays_at_its_address() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sealed_key <> '' AND NEW.sealed_key = OLD.sealed_key AND NEW.base_url IS DISTINCT FROM OLD.base_url THEN
        RAISE EXCEPTION 'a provider''s new address needs its key again' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER routing_key_stays_at_its_address BEFORE UPDATE ON routing_provider
    FOR EACH ROW EXECUTE FUNCTION routing_key_stays_at_its_address();
"""


class Migration(migrations.Migration):
    """A stored key is never sent to an address it was not given for, whichever door the change comes through."""

    dependencies = [("routing", "0002_model_tier")]

    operations = [migrations.RunSQL(_GUARD, "DROP FUNCTION routing_key_stays_at_its_address() CASCADE")]
