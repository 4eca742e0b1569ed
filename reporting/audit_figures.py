"""The figures of the reports, counted once more from the timelines: per queue and day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from queues.models import Offer, QueuedCall
from reporting import metrics
from reporting.replay import Story

ENDS = sorted(QueuedCall.FINAL)
COUNTED = ["offered", "answered", "short_abandons", "still_open", *ENDS]
CLOSE = 0.002  # seconds: the reports round to thousandths


@dataclass
class Sums:
    """What is counted of one queue and one day."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    in_time: int = 0
    wait: timedelta = timedelta()
    handled: timedelta = timedelta()  # talk and wrap-up


class Figures:
    """Sums by queue and day; its size grows with the days, not with the calls."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str | None, str], Sums] = defaultdict(Sums)

    def count(self, call: QueuedCall, story: Story, offers: Iterable[Offer]) -> None:
        """Add an inbound call by its events; what they do not carry is taken from the row."""
        queued_at = story.queued_at
        if not call.is_inbound or queued_at is None:
            return
        midnight = timezone.localtime(queued_at, timezone.get_default_timezone()).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        queue = call.queue
        sums = self._sums[queue.slug if queue else None, midnight.isoformat()]
        is_known = story.unknown.isdisjoint({"connected_at", "ended_at"})
        connected_at = story.connected_at if is_known else call.connected_at
        ended_at = story.ended_at if is_known else call.ended_at
        sums.counts["offered"] += 1
        sums.counts["still_open"] += story.state in QueuedCall.OPEN
        if story.state in QueuedCall.FINAL:
            sums.counts[story.state] += 1
        if story.state == QueuedCall.State.ABANDONED and ended_at and queue:
            short = timedelta(seconds=queue.short_abandon_seconds)
            sums.counts["short_abandons"] += ended_at - queued_at < short
        if connected_at is None:
            return
        sums.counts["answered"] += 1
        sums.wait += connected_at - queued_at
        if queue:
            in_time = timedelta(seconds=queue.service_level_seconds)
            sums.in_time += connected_at - queued_at <= in_time
        if ended_at:
            sums.handled += ended_at - connected_at
        for offer in offers:
            if offer.state == Offer.State.ENDED and offer.wrap_up_ended_at and offer.ended_at:
                sums.handled += offer.wrap_up_ended_at - offer.ended_at

    def lines(self, since: datetime, until: datetime) -> Iterator[str]:
        """Hold the figures of the reports against the sums."""
        rows = {
            (row["queue"], row["start"]): row for row in metrics.queue_rows(since, until, "day")
        }
        for key in sorted(rows.keys() | self._sums.keys(), key=str):
            row, sums = rows.get(key, {}), self._sums.get(key) or Sums()
            name = f"queue {key[0]} on {key[1][:10]}"
            for figure in COUNTED:
                if row.get(figure, 0) != sums.counts[figure]:
                    counted = sums.counts[figure]
                    yield f"{name}: {figure} is {row.get(figure, 0)}, by the events {counted}"
            total = sum(row.get(end, 0) for end in ENDS) + row.get("still_open", 0)
            if row.get("offered", 0) != total:
                yield f"{name}: offered is {row.get('offered', 0)}, ends and open calls are {total}"
            yield from _means(name, row, sums)


def _means(name: str, row: dict[str, float | None], sums: Sums) -> Iterator[str]:
    answered = sums.counts["answered"]
    level = metrics.service_level(
        sums.in_time, sums.counts["offered"], sums.counts["short_abandons"]
    )
    counted = {
        "asa": sums.wait.total_seconds() / answered if answered else None,
        "aht": sums.handled.total_seconds() / answered if answered else None,
        "service_level": level,
    }
    for figure, value in counted.items():
        told = row.get(figure)
        if (told is None) != (value is None) or abs((told or 0) - (value or 0)) > CLOSE:
            yield f"{name}: {figure} is {told}, by the events {value}"
