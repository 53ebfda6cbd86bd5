from django.db import migrations, models

# A person whose account was there before their directory is let in by their own word alone, whoever else says so.
_OWN_WORD = """
CREATE FUNCTION tenants_pending_stays_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM tenants_provisioneduser p
        WHERE p.tenant_id = NEW.tenant_id AND p.membership_id = NEW.id AND p.pending
    ) THEN
        RAISE EXCEPTION 'tenants_membership_pending: this person has not agreed to join yet' USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tenants_membership_pending BEFORE UPDATE OF suspended_at ON tenants_membership
    FOR EACH ROW WHEN (OLD.suspended_at IS NOT NULL AND NEW.suspended_at IS NULL)
    EXECUTE FUNCTION tenants_pending_stays_out();
"""


class Migration(migrations.Migration):
    """What a directory's word on a member is worth."""

    dependencies = [("tenants", "0004_keys_end_with_membership")]

    operations = [
        migrations.AddField(
            model_name="provisioneduser",
            name="active",
            field=models.BooleanField(default=True, help_text="As the directory says."),
        ),
        migrations.AddField(
            model_name="provisioneduser",
            name="pending",
            field=models.BooleanField(
                default=False,
                help_text="Their account was there before, and they have not agreed to join: they may not enter.",
            ),
        ),
        migrations.AddField(
            model_name="provisioneduser",
            name="made_account",
            field=models.BooleanField(default=False, help_text="The account was made for this row."),
        ),
        migrations.AddIndex(
            model_name="provisioneduser",
            index=models.Index(fields=["tenant", "external_id"], name="tenants_provisioneduser_extern"),
        ),
        migrations.RunSQL(_OWN_WORD, migrations.RunSQL.noop),
    ]
