"""One row of each thing that the admin shows and that other tests have no use for."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from agents.models import BreakReason, Notice
from callcenter.ids import new_id
from queues import alerts
from queues.models import (
    Alert,
    AlertMail,
    AlertRule,
    Contact,
    Disposition,
    Offer,
    Queue,
    Recording,
    Supervision,
    WrapUp,
)
from reporting import wall_links
from reporting.models import Download, ReportMail, WallLink
from tests.factories import T0, make_export, make_offered, make_schedule


def make_row(label: str, queue: Queue) -> Any:
    """Make a row of the model with this label; None for one that is not made here."""
    make = _MAKERS.get(label)
    return make(queue) if make else None


def _offer(queue: Queue) -> Any:
    return Offer.objects.first() or make_offered(queue).offer


def _recording(queue: Queue) -> Recording:
    call = _offer(queue).call
    return Recording.objects.create(
        call=call, leg=call.legs.first(), state="missing", created_at=T0
    )


def _supervision(queue: Queue) -> Supervision:
    call = _offer(queue).call
    return Supervision.objects.create(
        call=call, leg=call.legs.first(), phone="+254711000077", mode="listen", state="ended",
        created_at=T0, ended_at=T0,
    )  # fmt: skip


def _wrap_up(queue: Queue) -> WrapUp:
    return WrapUp.objects.create(offer=_offer(queue), notes="Wants a van.", updated_at=T0)


def _mail(queue: Queue) -> AlertMail:
    alerts.raise_alert("wallet", "", "The wallet is empty.", at=T0)
    alert = Alert.objects.get()
    return AlertMail.objects.create(alert=alert, address="sarah@example.org", created_at=T0)


def _wall_link(queue: Queue) -> Any:
    wall_links.make("Reception", [], at=T0, user=None)
    return WallLink.objects.get()


_MAKERS: dict[str, Any] = {
    "agents.BreakReason": lambda queue: BreakReason.objects.create(name="Lunch"),
    "agents.Notice": lambda queue: Notice.objects.create(text="Tea is ready.", created_at=T0),
    "queues.Contact": lambda queue: Contact.objects.create(
        number="+254700000111", name="Wanjiru Traders"
    ),
    "queues.Disposition": lambda queue: Disposition.objects.create(label="Order"),
    "queues.AlertRule": lambda queue: AlertRule.objects.create(kind="wallet"),
    "queues.Recording": _recording,
    "queues.Supervision": _supervision,
    "queues.WrapUp": _wrap_up,
    "queues.AlertMail": _mail,
    "reporting.WallLink": _wall_link,
    "reporting.ScheduledReport": lambda queue: make_schedule(),
    "reporting.ReportMail": lambda queue: ReportMail.objects.create(
        schedule=make_schedule(), since=T0, until=T0, created_at=T0
    ),
    "reporting.Export": lambda queue: make_export(new_id(), Path(tempfile.mkdtemp())),
    "reporting.Download": lambda queue: Download.objects.create(report="queues", how="csv", at=T0),
}
