
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('billing', '0001_initial'),
        ('tenants', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='reservation',
            index=models.Index(condition=models.Q(('state', 'settled')), fields=['settled_at'], name='billing_reservation_settled'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('amount_nanousd__gte', 0), ('input_tokens__gte', 0), ('cached_tokens__gte', 0), ('output_tokens__gte', 0), ('reasoning_tokens__gte', 0)), name='billing_ledger_not_negative'),
        ),
    ]
