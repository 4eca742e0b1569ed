"""What an agent's desk shows beside the calls: reasons, dispositions, a known caller, a message."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from agents.models import Agent, BreakReason, Notice, PresencePeriod
from queues.models import Contact, Disposition, Offer, Queue, QueuedCall, WrapUp
from tests.pages import made_up

KNOWN = "+254722418377"


def set_up() -> None:
    """Three reasons for a break, and dispositions in two levels, whatever the demo brings."""
    BreakReason.objects.all().delete()
    for position, (name, is_paid, minutes) in enumerate(
        [("Lunch", False, 45), ("Short break", True, 10), ("Training", True, None)]
    ):
        BreakReason.objects.create(
            name=name, is_paid=is_paid, limit_minutes=minutes, position=position
        )
    Disposition.objects.filter(parent__isnull=False).delete()
    Disposition.objects.all().delete()
    support = Queue.objects.get(slug="support")
    groups = {"Order": ["Placed", "Changed", "Cancelled"], "Question": ["Answered", "To follow up"]}
    for label, entries in groups.items():
        group = Disposition.objects.create(label=label, queue=support, position=1)
        for entry in entries:
            Disposition.objects.create(label=entry, queue=support, parent=group)
    Disposition.objects.create(label="Wrong number", position=2)


def known_caller() -> None:
    """Somebody with a name, who has called three times."""
    Contact.objects.get_or_create(number=KNOWN, defaults={"name": "Wanjiru Traders"})
    brian, chebet = (Agent.objects.get(user__username=name) for name in ("brian", "chebet"))
    notes = "Ordered 12 crates for the shop in Westlands; wants the invoice on paper as well."
    for ago, slug, agent, label, text in (
        (9000, "billing", chebet, "Answered", ""),
        (5200, "support", brian, "Placed", notes),
    ):
        row = made_up.call(slug, "completed", ago=ago, customer=KNOWN, waited=8, talked=190,
                           agent=agent)  # fmt: skip
        made = made_up.offer(row, agent, "ended", ago=ago - 2, answered=ago - 8, until=ago - 198)
        chosen = Disposition.objects.filter(label=label).first()
        WrapUp.objects.create(offer=made, disposition=chosen, notes=text, updated_at=row.arrived_at)
    made_up.call("support", "abandoned", ago=600, customer=KNOWN, waited=41, abandoned_in="queue")


def message(text: str, username: str = "amina") -> None:
    """A supervisor's word."""
    notice = Notice.objects.create(
        text=text, sender=User.objects.get(username="supervisor"), created_at=timezone.now()
    )
    notice.recipients.create(agent=Agent.objects.get(user__username=username))


def on_break(reason: str, *, since: float) -> None:
    """Amina's break of this reason, which began so many seconds ago."""
    agent = made_up.put("amina", presence="break", presence_reason=reason, since=since)
    why = BreakReason.objects.get(name=reason)
    began = timezone.now() - timedelta(seconds=since)
    limit = began + timedelta(minutes=why.limit_minutes) if why.limit_minutes else None
    PresencePeriod.objects.filter(agent=agent, ended_at=None).update(
        is_paid=why.is_paid, limit_at=limit
    )


def missed(count: int) -> None:
    """So many calls that amina did not answer a little while ago."""
    amina = Agent.objects.get(user__username="amina")
    for number in range(count):
        ago = 200 + number * 60
        row = made_up.call("support", "abandoned", ago=ago + 9, customer=f"+25470000100{number}",
                           waited=30, abandoned_in="queue")  # fmt: skip
        made_up.offer(row, amina, "no_answer", ago=ago, until=ago - 15)


def write(offer: Offer, notes: str) -> None:
    """What amina has noted so far."""
    WrapUp.objects.update_or_create(
        offer=offer, defaults={"notes": notes, "updated_at": timezone.now()}
    )


def latest(username: str = "amina") -> QueuedCall:
    """The call that this agent was offered last."""
    return Offer.objects.filter(agent__user__username=username).latest("created_at").call
