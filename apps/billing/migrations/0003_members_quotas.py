from django.db import migrations

_APP = "switchboard_app"
_COLUMNS = "parallel_calls, requests_per_minute, budget_day_nanousd, budget_month_nanousd"
# A restriction holds beside the rule that a row must be the tenant's own. Rows without a person are the tenant's
# limits, which operators set; a tenant's administrators set their people's.
_RESTRICTIONS = [
    f"CREATE POLICY members_insert ON billing_quota AS RESTRICTIVE FOR INSERT TO {_APP} "
    "WITH CHECK (user_id IS NOT NULL)",
    f"CREATE POLICY members_update ON billing_quota AS RESTRICTIVE FOR UPDATE TO {_APP} "
    "USING (user_id IS NOT NULL) WITH CHECK (user_id IS NOT NULL)",
    f"CREATE POLICY members_delete ON billing_quota AS RESTRICTIVE FOR DELETE TO {_APP} "
    "USING (user_id IS NOT NULL)",
]


class Migration(migrations.Migration):
    """A tenant's administrators set limits for its members, and can never touch the tenant's own."""

    dependencies = [("billing", "0002_settled_index_and_positive_ledger")]

    operations = [
        migrations.RunSQL(
            [*_RESTRICTIONS, f"GRANT INSERT, UPDATE ({_COLUMNS}), DELETE ON billing_quota TO {_APP}"],
            migrations.RunSQL.noop,
        )
    ]
