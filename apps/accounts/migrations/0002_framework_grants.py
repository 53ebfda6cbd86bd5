from django.db import migrations


class Migration(migrations.Migration):
    """What the serving roles may do with the framework's own global tables (they hold no tenant's data)."""

    dependencies = [
        ("accounts", "0001_initial"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(
            [
                "GRANT SELECT, INSERT, UPDATE, DELETE ON django_session TO switchboard_app",
                "GRANT SELECT ON django_migrations, django_content_type, auth_permission, auth_group, "
                "auth_group_permissions TO switchboard_app, switchboard_engine",
                "GRANT SELECT, INSERT ON django_admin_log TO switchboard_app, switchboard_engine",
                "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO switchboard_app, switchboard_engine",
            ],
            migrations.RunSQL.noop,
        )
    ]
