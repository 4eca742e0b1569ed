"""The call log is searched by a number's beginning or its last digits, and by what was corrected."""

from django.contrib.postgres.indexes import OpClass
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Reverse


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("queues", "0012_alerts_of_conditions")]

    operations = [
        AddIndexConcurrently(
            "queuedcall",
            models.Index(
                fields=["customer"], opclasses=["varchar_pattern_ops"], name="calls_by_number"
            ),
        ),
        AddIndexConcurrently(
            "queuedcall",
            models.Index(
                OpClass(Reverse("customer"), name="text_pattern_ops"), name="calls_by_last_digits"
            ),
        ),
        AddIndexConcurrently(
            "callevent",
            models.Index(
                condition=models.Q(kind="corrected"), fields=["call"], name="events_corrected"
            ),
        ),
        RemoveIndexConcurrently("queuedcall", "calls_by_customer"),
    ]
