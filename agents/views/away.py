"""What happened to an agent while their page was not in touch, in words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from agents.models import Agent, Presence, PresencePeriod
from queues.models import Offer

AT_MOST = timedelta(hours=14)  # a longer absence is another day's work
_MISSED = [Offer.State.NO_ANSWER, Offer.State.NO_KEYPRESS]
_NOT_REACHED = [Offer.State.BUSY, Offer.State.FAILED]


def told(me: Agent, asked: dict[str, str], *, at: datetime) -> dict[str, Any] | None:
    """Return what happened between `since` and `until` of `asked`; None where nothing did."""
    since, until = _moment(asked.get("since")), _moment(asked.get("until")) or at
    if since is None or since >= until:
        return None
    since, until = max(since, at - AT_MOST), min(until, at)
    sentences = [*_calls(me, since, until), *_presence(me, since, until)]
    return {"since": since, "until": until, "sentences": sentences} if sentences else None


def _moment(text: str | None) -> datetime | None:
    try:
        found = parse_datetime(text or "")
    except ValueError:
        return None
    return found if found and timezone.is_aware(found) else None


def _calls(me: Agent, since: datetime, until: datetime) -> list[str]:
    ended = me.offers.filter(created_at__gte=since - AT_MOST, ended_at__gt=since,
                             ended_at__lte=until).select_related("call")  # fmt: skip
    rows = list(ended.order_by("ended_at"))
    missed = sum(one.state in _MISSED for one in rows)
    unreached = sum(one.state in _NOT_REACHED for one in rows)
    gone = sum(one.state == Offer.State.CALLER_GONE for one in rows)
    found = []
    if missed:
        found.append(
            ngettext(
                "%(count)d call rang that you did not answer.",
                "%(count)d calls rang that you did not answer.",
                missed,
            )
            % {"count": missed}
        )
    if unreached:
        found.append(
            ngettext(
                "%(count)d call could not reach your phone.",
                "%(count)d calls could not reach your phone.",
                unreached,
            )
            % {"count": unreached}
        )
    if gone:
        found.append(
            ngettext(
                "%(count)d caller hung up while your phone rang.",
                "%(count)d callers hung up while your phone rang.",
                gone,
            )
            % {"count": gone}
        )
    for one in rows:
        if one.state == Offer.State.ENDED and one.ended_at:
            words = {"customer": one.call.customer, "time": _time(one.ended_at)}
            found.append(_("Your call with %(customer)s ended at %(time)s.") % words)
    return found


def _presence(me: Agent, since: datetime, until: datetime) -> list[str]:
    """What others, or a policy, made of the agent; one's own doing is no news."""
    periods = (
        PresencePeriod.objects.filter(agent=me, started_at__gt=since, started_at__lte=until)
        .select_related("actor")
        .order_by("started_at")
    )
    return [_changed(one) for one in periods if one.actor_id != me.user_id]


def _changed(period: PresencePeriod) -> str:
    words = {"time": _time(period.started_at), "reason": period.reason}
    if period.actor is not None:
        words["who"] = period.actor.get_full_name() or period.actor.get_username()
        sentences = {
            Presence.AVAILABLE: _("%(who)s made you available at %(time)s."),
            Presence.BREAK: _("%(who)s put you on break at %(time)s."),
            Presence.OFFLINE: _("%(who)s set you offline at %(time)s."),
        }
    else:
        sentences = {
            Presence.AVAILABLE: _("You were made available at %(time)s."),
            Presence.BREAK: _("You were put on break at %(time)s: %(reason)s."),
            Presence.OFFLINE: _("You were set offline at %(time)s."),
        }
        if not period.reason:
            sentences[Presence.BREAK] = _("You were put on break at %(time)s.")
    return sentences[Presence(period.presence)] % words


def _time(at: datetime) -> str:
    return f"{timezone.localtime(at):%H:%M}"
