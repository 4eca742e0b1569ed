"""When an alert's condition was over, and the two rules that every centre begins with."""

from django.db import migrations, models
from django.utils import timezone

RUNS_BESIDE = "Adds two rows to a table that nothing has read before this version."

FIRST = [
    ("longest_wait", 120),
    ("nobody_available", None),
]  # on the board only: no mail, no webhook


def add_the_first_rules(apps, schema_editor):
    """Two rules, where nobody has made any."""
    rules = apps.get_model("queues", "AlertRule")
    history = apps.get_model("queues", "HistoricalAlertRule")
    if rules.objects.exists():
        return
    for kind, threshold in FIRST:
        rule = rules.objects.create(kind=kind, threshold=threshold)
        kept = {field.attname for field in history._meta.concrete_fields}
        values = {
            field.attname: getattr(rule, field.attname)
            for field in rules._meta.concrete_fields
            if field.attname in kept
        }
        history.objects.create(
            history_date=timezone.now(), history_type="+",
            history_change_reason="comes with the call centre", **values,
        )  # fmt: skip


KINDS = [
    ("longest_wait", "A caller waits for longer than … seconds"),
    ("service_level", "The service level of today is under … percent"),
    ("nobody_available", "Callers wait and no agent is available"),
    ("provider", "Sautikit does not answer, or refuses our calls"),
    ("wallet", "The wallet is low or empty"),
    ("help", "An agent asks for help"),
    ("break_over", "A break is longer than its limit"),
    ("other", "Anything else that the board shows"),
]


class Migration(migrations.Migration):
    dependencies = [("queues", "0011_what_a_supervisor_wants")]

    operations = [
        migrations.AddField(
            "alert",
            "over_at",
            models.DateTimeField(
                blank=True,
                null=True,
                help_text="Of a rule's alert: since when its condition has not held any more. One "
                "that was dismissed before is not raised again while the condition holds.",
            ),
        ),
        migrations.AddIndex(
            "alert",
            models.Index(
                fields=["kind", "over_at"],
                condition=models.Q(kind__in=["longest_wait", "service_level", "nobody_available"]),
                name="alerts_of_conditions",
            ),
        ),
        migrations.AlterField("alertrule", "kind", models.CharField(choices=KINDS, max_length=20)),
        migrations.AlterField(
            "historicalalertrule", "kind", models.CharField(choices=KINDS, max_length=20)
        ),
        migrations.RunPython(add_the_first_rules, migrations.RunPython.noop),
    ]
