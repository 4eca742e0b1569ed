"""Who took reports away as files, and who has not been mailed one yet."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("reporting", "0005_marks_of_stale_quarters"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="reportmail",
            name="recipients_left",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="Addresses that have not been sent it, one per line.",
            ),
        ),
        migrations.CreateModel(
            name="Download",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("report", models.CharField(help_text="Which table.", max_length=24)),
                ("query", models.JSONField(default=dict, help_text="The filters.")),
                (
                    "how",
                    models.CharField(
                        choices=[("csv", "CSV"), ("xlsx", "Spreadsheet")], max_length=4
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "export",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="downloads",
                        to="reporting.export",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-at"],
            },
        ),
    ]
