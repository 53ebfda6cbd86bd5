import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0013_keys_with_bounds'),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='max_tokens_per_second',
            field=models.PositiveIntegerField(blank=True, help_text='All its answers together come no faster than this; empty means as fast as models give them.', null=True, validators=[django.core.validators.MinValueValidator(1)]),
        ),
    ]
