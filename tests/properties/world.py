"""One call centre in virtual time: rows, bells, sweeps, and the provider's switch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection, transaction

from agents import presence
from agents.models import Agent
from callcenter import bell
from queues import dialling, outbound, provider, reconcile, routing, sweeping
from queues.models import CallEvent, Leg, Offer, QueuedCall
from reporting.mirror import polling
from tests.factories import CALLER, LINE, T0, make_agent, make_menu, make_queue

from .parties import Connection, Ring
from .rest import Rest
from .stories import Case
from .switch import Switch
from .timeline import Timeline

OVER = 400  # seconds of virtual time after which everything must long be over
DID_MENU = "+254200000100"
CONTACT = "+254722000333"


class World:
    """The product, its clock, its workers, and the provider."""

    def __init__(self, case: Case, mock: Any) -> None:
        self.case, self.workers = case, case.workers
        empty_the_database()
        provider.forget_recalled()
        self.time = Timeline(T0)
        self.errors: list[str] = []
        phones: dict[str, list[Ring]] = {}
        story = case.story
        self.queue = make_queue(
            number=LINE, ring_timeout=story.ring_timeout, wrap_up_seconds=5, greeting="Hello there."
        )
        self.agents = []
        for staff in story.staff:
            agent = make_agent(
                self.queue, confirm_key=staff.confirm_key,
                presence="available" if staff.available == 0 else "break",
            )  # fmt: skip
            phones[agent.destination] = list(staff.rings)
            self.agents.append(agent)
            if staff.available:
                self.time.after(staff.available, partial(self.becomes_free, agent))
        if story.menu:
            make_menu(("1", self.queue), number=DID_MENU, tries=3)
        self.switch = Switch(self.time, case.post, phones)
        mock.reset()
        rest = Rest(
            self.switch, down=self.workers.rest_down, lost_answers=self.workers.lost_answers
        )
        rest.serve(mock)

    def becomes_free(self, agent: Agent) -> None:
        presence.change(agent.pk, "available", at=self.time.now, cause="page")

    # --- Bells and beat ------------------------------------------------------------------------

    def answer(self, name: str) -> Callable[..., None]:
        """What the bell `name` does here: the same as in the product, in virtual time."""
        tasks: dict[str, Callable[[str], object]] = {
            "place": lambda key: dialling.place(UUID(key), at=self.time.now),
            "hang_up": lambda key: dialling.hang_up(UUID(key), at=self.time.now),
            "ask": lambda key: reconcile.ask(UUID(key), at=self.time.now),
            "check_offer": lambda key: reconcile.check_offer(UUID(key), at=self.time.now),
            "ask_handle": lambda key: reconcile.ask_handle(key, at=self.time.now),
        }

        def heard(*args: Any) -> None:
            if name in self.workers.lost and not self.sweeping:
                return
            if name == "route":
                routing.match(self.time.now)
            elif name == "sweep_at":
                self.time.at(args[0], self.sweep)
            elif name in tasks:
                for _ in range(1 + self.workers.twice):
                    self.time.after(self.workers.late, lambda: tasks[name](*args))

        return heard

    sweeping = is_quiet = False

    def sweep(self) -> None:
        self.sweeping = True  # what the sweep rings is heard; else nothing would ever come of it
        try:
            sweeping.sweep(at=self.time.now)
        finally:
            self.sweeping = False

    def beat(self) -> None:
        """Sweep every second, read the provider's records every 15."""

        def each_second() -> None:
            self.sweep()
            self.time.after(10 if self.is_quiet else 1, each_second)  # only late news to come

        def each_poll() -> None:
            polling.poll(at=self.time.now)
            self.time.after(60 if self.is_quiet else 15, each_poll)

        self.time.after(self.workers.sweep_phase, each_second)
        self.time.after(self.workers.poll_phase, each_poll)

    # --- The story -----------------------------------------------------------------------------

    def tell(self) -> Connection | None:
        """Tell the story to its end and until all is quiet."""
        story = self.case.story
        self.beat()
        if story.contact:
            self.switch.contacts[CONTACT] = story.contact
            self.switch.people[CONTACT] = story.person
            agent = self.agents[0]
            outbound.click_to_call(agent.pk, CONTACT, queue=self.queue, at=self.time.now)
        else:
            line = DID_MENU if story.menu else LINE
            self.switch.call_in(CALLER, line, story.person)
        while self.time.seconds < OVER:
            self.time.pass_(1)
            if self.time.seconds % 10 == 0:
                self.is_quiet = not self.unsettled()
                if self.is_quiet and not self.pending():
                    break
        return next((leg for leg in self.switch.legs if leg.who == "caller"), None)

    def pending(self) -> bool:
        """Whether news is still under way, or a phone still in use."""
        latest = self.case.post.latest
        ended = [leg.ended_at for leg in self.switch.legs]
        last = max((when for when in ended if when), default=self.time.now)
        return None in ended or (self.time.now - last).total_seconds() <= latest + 1

    def diary(self) -> str:
        """What was sent, and what we made of it, with the seconds since the start."""

        def seconds(when: datetime) -> float:
            return (when - self.time.start).total_seconds()

        lines = [(sent.at, f"<- {sent}") for sent in self.switch.man.sent]
        for event in CallEvent.objects.order_by("id"):
            told = {
                name: event.detail[name] for name in ("agent", "reason") if name in event.detail
            }
            lines.append((seconds(event.at), f"   {event.kind} ({event.source}) {told or ''}"))
        lines += [(seconds(leg.started_at), f"** rings {leg.theirs}") for leg in self.switch.legs]
        lines += [
            (seconds(leg.ended_at), f"** ends {leg.theirs}: {leg.status}")
            for leg in self.switch.legs
            if leg.ended_at
        ]
        lines.sort(key=lambda line: line[0])
        return "\n".join(f"{at:7.2f} {text}" for at, text in lines)

    def unsettled(self) -> list[str]:
        """What is still open, as sentences; empty when all is quiet."""
        found = [f"{call} is {call.state}" for call in QueuedCall.objects.filter(ended_at=None)]
        found += [
            f"{call} is provisional" for call in QueuedCall.objects.filter(is_provisional=True)
        ]
        found += [f"{offer}" for offer in Offer.objects.open()]
        found += [f"{offer} to check" for offer in Offer.objects.filter(check_at__isnull=False)]
        found += [f"{leg} is {leg.state}" for leg in Leg.objects.filter(ended_at=None)]
        found += [f"{a} is {a.engagement}" for a in Agent.objects.exclude(engagement="idle")]
        found += [
            f"at the provider: {leg.who} {leg.status}" for leg in self.switch.legs if leg.is_live
        ]
        return found


KEPT = {"contenttypes", "auth", "sessions", "admin"}


@transaction.atomic
def empty_the_database() -> None:
    """Remove every row of ours; keys are checked at the commit, so the order does not matter."""
    models = [m for m in apps.get_models(include_auto_created=True) if m._meta.managed]
    tables = [m._meta.db_table for m in models if m._meta.app_label not in KEPT]
    with connection.cursor() as cursor:
        for table in [*tables, "auth_user_groups", "auth_user"]:
            cursor.execute(f'DELETE FROM "{table}"')


class _Errors(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.told = told

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            text += f": {record.exc_info[1]!r}"
        self.told.append(text)


@contextmanager
def world(case: Case, mock: Any) -> Iterator[World]:
    """A world whose bells ring in virtual time, until the end of the block."""
    made = World(case, mock)
    names = ("place", "hang_up", "ask", "check_offer", "ask_handle", "sweep_at", "route")
    before = dict(bell._answers)
    bell._answers.update({name: made.answer(name) for name in names})
    bell._answers.update({"board": lambda *args: None, "desk": lambda *args: None})
    errors = _Errors(made.errors)
    watched = [logging.getLogger(name) for name in ("queues", "callcenter", "django.request")]
    for log in watched:
        log.addHandler(errors)
    try:
        yield made
    finally:
        for log in watched:
            log.removeHandler(errors)
        bell._answers.clear()
        bell._answers.update(before)
        made.time.close()
