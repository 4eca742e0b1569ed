"""One more reason to be passed over; the column stays as it is."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("agents", "0005_limits_of_breaks")]

    operations = [
        migrations.AlterField(
            model_name="agent",
            name="hold_off_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("no_answer", "Did not answer"),
                    ("busy", "Was busy"),
                    ("declined", "Declined"),
                    ("no_keypress", "Answered without pressing 1"),
                    ("unreachable", "Could not be reached"),
                    ("hanging_up", "Phone is being hung up"),
                ],
                editable=False,
                max_length=11,
            ),
        )
    ]
