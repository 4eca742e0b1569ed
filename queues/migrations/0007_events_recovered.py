"""What only our asking found is counted on /metrics: an index on those few events."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("queues", "0006_places_move_with_the_clock")]

    operations = [
        AddIndexConcurrently(
            "callevent",
            models.Index(
                condition=models.Q(detail__recovered=True), fields=["at"], name="events_recovered"
            ),
        )
    ]
