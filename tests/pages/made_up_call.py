"""What a call may have beside its story: a supervisor who listened, and what the agent wrote."""

from __future__ import annotations

from django.contrib.auth.models import User

from queues.models import Disposition, QueuedCall, Supervision, WrapUp
from tests.pages import made_up
from tests.pages.made_up import seconds


def with_everything(row: QueuedCall) -> QueuedCall:
    """Add to `made_up.told` a whisper that became a barge, a disposition with notes, a wrap-up."""
    supervisor = User.objects.get(username="supervisor")
    start = row.arrived_at
    leg = row.legs.filter(role="customer").get()
    Supervision.objects.create(
        call=row, leg=leg, supervisor=supervisor, phone="+254711000099", mode="barge",
        state="ended", created_at=start + seconds(82), connected_at=start + seconds(90),
        ended_at=start + seconds(160),
    )  # fmt: skip
    for after, kind, mode in (
        (90, "listening_started", "whisper"),
        (130, "listening_changed", "barge"),
    ):
        made_up.note(row, kind, start + seconds(after), "room", mode=mode)
    made_up.note(row, "listening_ended", start + seconds(160), "room")
    last = row.offers.filter(state="ended").get()
    assert last.ended_at is not None
    type(last).objects.filter(pk=last.pk).update(wrap_up_ended_at=last.ended_at + seconds(25))
    group = Disposition.objects.create(label="Delivery")
    WrapUp.objects.create(
        offer=last, disposition=Disposition.objects.create(label="Late", parent=group),
        notes="Parcel is at the depot in Industrial Area.\nCalls back on Tuesday.",
        updated_at=last.ended_at + seconds(20), updated_by=last.agent.user,
    )  # fmt: skip
    return row
