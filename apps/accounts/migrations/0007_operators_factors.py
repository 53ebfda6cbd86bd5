from django.db import migrations

# Operators set their second factor up on the pages, as everybody does, and so as the serving role. Once there is one,
# it is the administration's alone to take away: a hole in the application adds none beside it and replaces none.
# What using a factor writes stays allowed.
_GUARD = """
CREATE FUNCTION accounts_guard_operators_factors() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    used CONSTANT text[] := ARRAY['last_step', 'sign_count', 'used_mask', 'name'];
    factor mfa_authenticator;
    allowed boolean := false;
BEGIN
    factor := CASE WHEN TG_OP = 'INSERT' THEN NEW ELSE OLD END;
    IF current_user <> 'switchboard_app'
        OR NOT EXISTS (SELECT 1 FROM accounts_user u WHERE u.is_staff AND u.id = factor.user_id) AND (
            TG_OP <> 'UPDATE' OR NOT EXISTS (SELECT 1 FROM accounts_user u WHERE u.is_staff AND u.id = NEW.user_id)
        )
    THEN
        RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'INSERT' THEN
        allowed := NOT EXISTS (
            SELECT 1 FROM mfa_authenticator kept WHERE kept.user_id = NEW.user_id
            AND (kept.type = 'recovery_codes') = (NEW.type = 'recovery_codes')
        );
    ELSIF TG_OP = 'UPDATE' THEN
        allowed := (OLD.id, OLD.user_id, OLD.type, OLD.data - used) = (NEW.id, NEW.user_id, NEW.type, NEW.data - used);
    END IF;
    IF NOT allowed THEN
        RAISE EXCEPTION 'an operator''s second factor is changed in the administration' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER accounts_guard_operators_factors BEFORE INSERT OR UPDATE OR DELETE ON mfa_authenticator
    FOR EACH ROW EXECUTE FUNCTION accounts_guard_operators_factors();
"""


class Migration(migrations.Migration):
    """An operator's second factor is out of the serving role's reach once it is set up."""

    dependencies = [("accounts", "0006_counts_and_notes"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [migrations.RunSQL(_GUARD, migrations.RunSQL.noop)]
