"""A change of mode and an end of listening in, kept until the provider has taken them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queues", "0010_kept_for_an_agent")]

    operations = [
        migrations.AddField(
            "supervision",
            "wanted_mode",
            models.CharField(
                blank=True,
                choices=[("listen", "Listen"), ("whisper", "Whisper"), ("barge", "Barge in")],
                db_default="",
                help_text="Asked for, and not yet taken by the provider.",
                max_length=7,
            ),
        ),
        migrations.AddField(
            "supervision",
            "stop_at",
            models.DateTimeField(
                blank=True, help_text="From when it is to be ended by us.", null=True
            ),
        ),
    ]
