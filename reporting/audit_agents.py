"""The audit of agents: engagement, strikes and hold-off by their offers; intervals by both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from django.db.models import Max, Q

from agents.models import Agent, AgentInterval, Engagement, HoldOff, Presence, PresencePeriod
from queues import offers
from queues.models import CallEvent, Offer

LATE = timedelta(minutes=2)  # by which the sweep has ended a wrap-up whose time is over
ENGAGED = {Engagement.RINGING, Engagement.ON_CALL}


def lines(at: datetime, *, since: datetime) -> Iterator[str]:
    """Yield each disagreement; of the intervals, those that went on at `since` and the later."""
    agents = {agent.pk: agent for agent in Agent.objects.select_related("user")}
    for agent in agents.values():
        if agent.retired_at is None:
            yield from _told(agent, _engagement(agent, at))
            yield from _told(agent, _strikes(agent, at))
    intervals = AgentInterval.objects.filter(Q(ended_at=None) | Q(ended_at__gte=since))
    seen = set()
    rows = intervals.order_by("agent_id", "id").iterator()
    for agent_pk, chain in groupby(rows, key=lambda interval: interval.agent_id):
        seen.add(agent_pk)
        yield from _told(agents[agent_pk], _Chain(agents[agent_pk]).problems(chain))
    for pk in agents.keys() - seen:
        yield from _told(agents[pk], ["has no intervals"])


def _told(agent: Agent, problems: Iterator[str] | list[str]) -> Iterator[str]:
    yield from (f"agent {agent.user.get_username()}: {problem}" for problem in problems)


def _engagement(agent: Agent, at: datetime) -> Iterator[str]:
    offer = Offer.objects.open().filter(agent=agent).first()
    is_now = agent.engagement
    if offer:
        due = Engagement.ON_CALL if offer.state == Offer.State.JOINED else Engagement.RINGING
        if is_now != due:
            yield f"is {is_now}, by the open {offer} {due.value}"
    elif is_now in ENGAGED:
        yield f"is {is_now}, and has no open offer"
    elif is_now == Engagement.WRAP_UP:
        if agent.wrap_up_until and agent.wrap_up_until < at - LATE:
            yield f"is in wrap-up, which was over at {_time(agent.wrap_up_until)}"
        talks = Offer.objects.filter(agent=agent, state=Offer.State.ENDED)
        if not talks.filter(wrap_up_ended_at=None).exists():
            yield "is in wrap-up, and every talk's wrap-up has ended"


def _strikes(agent: Agent, at: datetime) -> Iterator[str]:
    """Count the strikes since the agent last became available, and the hold-off that goes on."""
    periods = PresencePeriod.objects.filter(agent=agent, presence=Presence.AVAILABLE)
    since = periods.order_by("-started_at").values_list("started_at", flat=True).first()
    if since is None:
        return
    corrected = CallEvent.objects.filter(
        kind="corrected", offer__agent=agent, offer__created_at__gte=since, at__gte=since
    )
    if corrected.exists():  # a correction depends on what the agent did then
        return
    mine = Offer.objects.filter(agent=agent)
    talk = mine.filter(joined_at__gte=since).aggregate(last=Max("joined_at"))["last"]
    after = Q(ended_at__gt=talk) if talk else Q(ended_at__gte=since)
    failed = mine.filter(after, state__in=offers.HOLD_OFF_OF, joined_at=None)
    strikes, reason = 0, ""
    until: datetime | None = None
    for what, ended_at in failed.order_by("ended_at").values_list("state", "ended_at").iterator():
        state = Offer.State(what)
        strikes += state in offers.STRIKING
        seconds = offers.hold_off_seconds(offers.HOLD_OFF_OF[state], strikes)
        reason = offers.HOLD_OFF_OF[state].value
        until = ended_at + timedelta(seconds=seconds) if ended_at else None
    if agent.strikes != strikes:
        yield f"has {agent.strikes} strikes, by the offers {strikes}"
    due = (until, reason) if until and until > at else (None, "")
    if _hold_off(agent, at) != due:
        is_now = f"{agent.hold_off_reason or 'none'} until {_time(agent.hold_off_until)}"
        yield f"has the hold-off {is_now}, by the offers {reason or 'none'} until {_time(until)}"


def _hold_off(agent: Agent, at: datetime) -> tuple[datetime | None, str]:
    """Return the hold-off that goes on; that of a phone being hung up is no failed offer's."""
    until = agent.hold_off_until
    if until is None or until <= at:
        return None, ""
    if agent.hold_off_reason == HoldOff.HANGING_UP and until <= at + offers.HANGING_UP_FOR:
        return None, ""
    return until, agent.hold_off_reason


class _Chain:
    """One agent's intervals, held against the periods of presence and the offers."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.corrected: set[uuid.UUID] = set()
        self.offers: Iterator[Offer] = iter(())
        self.periods: Iterator[PresencePeriod] = iter(())
        self.offer: Offer | None = None
        self.has_talked = False

    def problems(self, chain: Iterator[AgentInterval]) -> Iterator[str]:
        last = next(chain)
        self._start(last)
        for interval in chain:
            if (interval.previous_id, interval.started_at) != (last.pk, last.ended_at):
                yield f"the interval of {_time(interval.started_at)} follows no other"
            problem = self._presence(last, interval) or self._engagement(last, interval)
            if problem:
                yield problem
                return  # all that follows would be told as well
            last = interval
        if self.agent.retired_at is None:
            yield from self._now(last)

    def _start(self, first: AgentInterval) -> None:
        began = first.started_at
        is_engaged = first.engagement in ENGAGED
        mine = Offer.objects.filter(agent=self.agent)
        later = Q(created_at__gt=began) if is_engaged else Q(created_at__gte=began)
        self.offers = mine.filter(later).order_by("created_at", "pk").iterator()
        self.periods = (
            PresencePeriod.objects.filter(agent=self.agent, started_at__gt=began)
            .order_by("started_at", "pk")
            .iterator()
        )
        corrections = CallEvent.objects.filter(
            kind="corrected", offer__agent=self.agent, offer__created_at__gte=began
        )
        self.corrected = set(corrections.values_list("offer_id", flat=True))

    def _presence(self, last: AgentInterval, interval: AgentInterval) -> str:
        is_now = (interval.presence, interval.reason)
        if is_now == (last.presence, last.reason):
            return ""
        period = next(self.periods, None)
        if period is None:
            return (
                f"became {is_now[0]} at {_time(interval.started_at)} without a period of presence"
            )
        if (period.presence, period.reason) != is_now:
            return (
                f"became {is_now[0]} at {_time(interval.started_at)}, by the periods of presence "
                f"{period.presence} at {_time(period.started_at)}"
            )
        return _differs(last, interval, period.started_at, f"{is_now[0]} since")

    def _engagement(self, last: AgentInterval, interval: AgentInterval) -> str:
        was, is_now = last.engagement in ENGAGED, interval.engagement in ENGAGED
        if is_now and not was:
            self.offer, self.has_talked = next(self.offers, None), False
            if self.offer is None:
                return f"was {interval.engagement} at {_time(interval.started_at)} without an offer"
            return _differs(last, interval, self.offer.created_at, "engaged since")
        offer = self.offer
        if offer is None or offer.pk in self.corrected or last.engagement == interval.engagement:
            return ""
        if interval.engagement == Engagement.ON_CALL:
            self.has_talked = True
            if offer.joined_at is None:
                return f"was on a call at {_time(interval.started_at)}, {offer} never was joined"
            return _differs(last, interval, offer.joined_at, "on a call since")
        if was and not is_now:
            if offer.joined_at and not self.has_talked:
                return f"was let go at {_time(interval.started_at)} without a talk, {offer} had one"
            if offer.ended_at is None:
                return f"was let go at {_time(interval.started_at)}, {offer} has not ended"
            if offer.state != Offer.State.ENDED:
                return _differs(last, interval, offer.ended_at, "let go since")
            if interval.started_at < offer.ended_at:
                return (
                    f"was let go at {_time(interval.started_at)}, "
                    f"{offer} ended {_time(offer.ended_at)}"
                )
        return ""

    def _now(self, last: AgentInterval) -> Iterator[str]:
        agent = self.agent
        row = (agent.presence, agent.presence_reason, agent.engagement)
        told = (last.presence, last.reason, last.engagement)
        if row != told:
            yield f"is {_words(row)}, by the intervals {_words(told)}"
        if period := next(self.periods, None):
            yield f"was {period.presence} at {_time(period.started_at)}, and no interval tells it"
        if offer := next(self.offers, None):
            yield f"was offered a call at {_time(offer.created_at)}, and no interval tells it"


def _differs(last: AgentInterval, interval: AgentInterval, due: datetime, what: str) -> str:
    """Say how an interval's start differs from when it was `due`; empty when it does not.

    Where a clock was set back, it starts where its predecessor did, whose length is then zero.
    """
    start = interval.started_at
    was_set_back = due < start == last.started_at
    if start == due or was_set_back:
        return ""
    return f"{what} {_time(start)} by the intervals, by the rest {_time(due)}"


def _words(facts: tuple[str, ...]) -> str:
    return ", ".join(fact for fact in facts if fact)


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat() if at else "none"
