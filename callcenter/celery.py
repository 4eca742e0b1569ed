"""The Celery application and the beat schedule: all periodic jobs on one screen."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")

app = Celery("callcenter")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.beat_schedule = {
    # What the bells announce, once more: no caller waits longer than this for a lost message.
    "sweep": {"task": "queues.tasks.sweep", "schedule": 1.0, "options": {"expires": 5}},
    # The mirror of the provider's call records.
    "poll-call-records": {
        "task": "reporting.tasks.poll_call_records",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "housekeeping": {
        "task": "queues.tasks.housekeeping",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
}
