"""The Celery application and the beat schedule: all periodic jobs on one screen."""

import os
from contextlib import suppress
from datetime import tzinfo
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import task_success
from django.utils import timezone
from redis import RedisError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")

app = Celery("callcenter", task_cls="callcenter.standby:Task")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_scheduler = "callcenter.beat:SteadyScheduler"


class ByTheWallClock(crontab):
    """Minutes and hours of TIME_ZONE, summer time and all."""

    @property
    def tz(self) -> tzinfo:  # type: ignore[override]  # the stubs say str, Celery takes a zone
        return timezone.get_default_timezone()


app.conf.beat_schedule = {
    # What the bells announce, once more: no caller waits longer than this for a lost message.
    "sweep": {"task": "queues.tasks.sweep", "schedule": 1.0, "options": {"expires": 5}},
    # The mirror of the provider's call records.
    "poll-call-records": {
        "task": "reporting.tasks.poll_call_records",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    # Later changes of the records, what they and our books disagree about, and back-fills.
    "find-differences": {
        "task": "reporting.tasks.find_differences",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    "look-again-hourly": {
        "task": "reporting.tasks.look_again_hourly",
        "schedule": ByTheWallClock(minute="20"),
        "options": {"expires": 1800},
    },
    "look-again-nightly": {
        "task": "reporting.tasks.look_again_nightly",
        "schedule": ByTheWallClock(hour="2", minute="40"),
        "options": {"expires": 3600},
    },
    "sweep-back-fills": {
        "task": "reporting.tasks.sweep_back_fills",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    "compare-live-calls": {
        "task": "queues.tasks.compare_live_calls",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    # What is left to call with; an event about the wallet, or a refusal, looks sooner.
    "watch-wallet": {
        "task": "queues.tasks.look_at_wallet",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    # Alert rules, mails and recordings that are due.
    "watch": {"task": "queues.tasks.watch", "schedule": 5.0, "options": {"expires": 5}},
    "watch-service-level": {
        "task": "queues.tasks.watch_service_level",
        "schedule": 60.0,
        "options": {"expires": 60},
    },
    # The interval tables of the reports: whoever reads one counts what is marked until then.
    "freshen-figures": {
        "task": "reporting.tasks.freshen_figures",
        "schedule": 10.0,
        "options": {"expires": 10},
    },
    # Files that somebody waits for, and mails of scheduled reports.
    "watch-reports": {
        "task": "reporting.tasks.watch_reports",
        "schedule": 15.0,
        "options": {"expires": 15},
    },
    "tidy-reports": {
        "task": "reporting.tasks.tidy_reports",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
    # When nobody calls.
    "audit": {
        "task": "reporting.tasks.audit",
        "schedule": ByTheWallClock(hour="3", minute="30"),
        "options": {"expires": 3600},
    },
    "keep-no-longer": {
        "task": "reporting.tasks.keep_no_longer",
        "schedule": ByTheWallClock(minute="50"),
        "options": {"expires": 1800},
    },
    "housekeeping": {
        "task": "queues.tasks.housekeeping",
        "schedule": 3600.0,
        "options": {"expires": 3600},
    },
}


@task_success.connect  # in the worker only
def _tell_that_it_sweeps(sender: Any, **kwargs: Any) -> None:
    """Let the web processes know that they need not stand in."""
    if sender.name == app.conf.beat_schedule["sweep"]["task"]:
        from callcenter import pulse

        with suppress(RedisError):
            pulse.tell()
