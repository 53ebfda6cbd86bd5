import django.db.models.functions.datetime
import django.db.models.functions.text
import uuid6
from django.db import migrations, models



class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='User',
            fields=[
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('email', models.EmailField(max_length=254)),
                ('name', models.CharField(max_length=120)),
                ('is_active', models.BooleanField(default=True)),
                ('is_staff', models.BooleanField(default=False, help_text='May open the administration.')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'constraints': [models.UniqueConstraint(django.db.models.functions.text.Lower('email'), name='accounts_user_email_unique')],
            },
        ),
            migrations.RunSQL(
            [
                "ALTER TABLE accounts_user ENABLE ROW LEVEL SECURITY",
                "ALTER TABLE accounts_user FORCE ROW LEVEL SECURITY",
                # People are global (one person, several tenants). The application may look them up to sign them in,
                # and may never make or change anybody into staff.
                "CREATE POLICY look_up ON accounts_user FOR SELECT TO switchboard_app USING (true)",
                "CREATE POLICY sign_up ON accounts_user FOR INSERT TO switchboard_app "
                "WITH CHECK (NOT is_staff AND NOT is_superuser)",
                "CREATE POLICY own_change ON accounts_user FOR UPDATE TO switchboard_app USING (true)",
                "CREATE POLICY engine ON accounts_user TO switchboard_engine USING (true) WITH CHECK (true)",
                "GRANT SELECT, INSERT, UPDATE (email, name, password, last_login, is_active) "
                "ON accounts_user TO switchboard_app",
                "GRANT SELECT, INSERT, UPDATE ON accounts_user TO switchboard_engine",
                "GRANT SELECT ON accounts_user_groups, accounts_user_user_permissions TO switchboard_app",
                "GRANT SELECT, INSERT, DELETE ON accounts_user_groups, accounts_user_user_permissions "
                "TO switchboard_engine",
            ],
            migrations.RunSQL.noop,
        ),
    ]
