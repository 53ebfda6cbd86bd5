from django.db import migrations

_ENGINE = "switchboard_engine"


class Migration(migrations.Migration):
    """Operators look at addresses, sessions, identities and second factors, and take sessions and factors away.

    They write none; of a second factor, `rotate_keys` writes what is sealed.
    """

    dependencies = [("accounts", "0003_identity_grants")]

    operations = [
        migrations.RunSQL(
            [
                f"REVOKE INSERT, UPDATE, DELETE ON account_emailaddress, socialaccount_socialaccount FROM {_ENGINE}",
                f"REVOKE INSERT, UPDATE ON usersessions_usersession, mfa_authenticator FROM {_ENGINE}",
                f"GRANT UPDATE (data) ON mfa_authenticator TO {_ENGINE}",
            ],
            [
                f"GRANT INSERT, UPDATE, DELETE ON account_emailaddress, socialaccount_socialaccount TO {_ENGINE}",
                f"GRANT INSERT, UPDATE ON usersessions_usersession, mfa_authenticator TO {_ENGINE}",
            ],
        )
    ]
