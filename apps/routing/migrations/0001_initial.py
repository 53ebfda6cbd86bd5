import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import uuid6
from django.db import migrations, models

from apps.tenants.row_security import tenant_table


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('tenants', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='LanguageModel',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('slug', models.CharField(max_length=120)),
                ('name', models.CharField(max_length=120)),
                ('description', models.CharField(blank=True, max_length=300)),
                ('hue', models.PositiveSmallIntegerField(default=1, help_text='The colour that stands for this model everywhere, 1 to 8.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(8)])),
                ('context_tokens', models.PositiveIntegerField(default=128000)),
                ('max_output_tokens', models.PositiveIntegerField(default=4096)),
                ('reasoning', models.BooleanField(default=False)),
                ('position', models.PositiveSmallIntegerField(default=100, help_text='Order in lists; smaller comes first.')),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('tenant', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'verbose_name': 'model',
            },
        ),
        migrations.CreateModel(
            name='Deployment',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('upstream_model', models.CharField(max_length=200)),
                ('priority', models.PositiveSmallIntegerField(default=1, help_text='Smaller is tried first.')),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('tenant', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('model', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deployments', to='routing.languagemodel')),
            ],
        ),
        migrations.CreateModel(
            name='Price',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('input_nanousd_per_mtok', models.BigIntegerField()),
                ('cached_input_nanousd_per_mtok', models.BigIntegerField(blank=True, null=True)),
                ('output_nanousd_per_mtok', models.BigIntegerField()),
                ('free', models.BooleanField(default=False, help_text='Must be set where both prices are zero.')),
                ('valid_from', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('deployment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='prices', to='routing.deployment')),
                ('tenant', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
        ),
        migrations.CreateModel(
            name='Provider',
            fields=[
                ('id', models.UUIDField(default=uuid6.uuid7, editable=False, primary_key=True, serialize=False)),
                ('slug', models.SlugField(max_length=60)),
                ('name', models.CharField(max_length=120)),
                ('adapter', models.CharField(choices=[('openai_compatible', 'OpenAI-compatible')], default='openai_compatible', max_length=40)),
                ('base_url', models.URLField(max_length=400)),
                ('sealed_key', models.TextField(blank=True, editable=False, help_text="The provider's key, encrypted.")),
                ('simulated', models.BooleanField(default=False)),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('tenant', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
        ),
        migrations.AddField(
            model_name='deployment',
            name='provider',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deployments', to='routing.provider'),
        ),
        migrations.AddConstraint(
            model_name='languagemodel',
            constraint=models.UniqueConstraint(fields=('tenant', 'slug'), name='routing_model_slug', nulls_distinct=False),
        ),
        migrations.AddIndex(
            model_name='price',
            index=models.Index(fields=['deployment', '-valid_from'], name='routing_price_current'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Q(('input_nanousd_per_mtok__gte', 0), ('output_nanousd_per_mtok__gte', 0), models.Q(('cached_input_nanousd_per_mtok__isnull', True), ('cached_input_nanousd_per_mtok__gte', 0), _connector='OR')), name='routing_price_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Q(('free', True), ('input_nanousd_per_mtok__gt', 0), ('output_nanousd_per_mtok__gt', 0), _connector='OR'), name='routing_price_free_is_said'),
        ),
        migrations.AddConstraint(
            model_name='provider',
            constraint=models.UniqueConstraint(fields=('tenant', 'slug'), name='routing_provider_slug', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='deployment',
            constraint=models.UniqueConstraint(fields=('model', 'provider', 'upstream_model'), name='routing_deployment_once'),
        ),
            *tenant_table(
            "routing_provider", app="SELECT", engine="SELECT, INSERT, UPDATE, DELETE", readable_without_tenant=True
        ),
        *tenant_table(
            "routing_languagemodel", app="SELECT", engine="SELECT, INSERT, UPDATE, DELETE", readable_without_tenant=True
        ),
        *tenant_table(
            "routing_deployment", app="SELECT", engine="SELECT, INSERT, UPDATE, DELETE", readable_without_tenant=True
        ),
        *tenant_table(
            "routing_price", app="SELECT", engine="SELECT, INSERT, UPDATE, DELETE", readable_without_tenant=True
        ),
    ]
