"""Listening in: a supervisor's phone joins a talk: to listen, to whisper to the agent, to barge in.

    planned -> ringing -> connected -> ended, or failed

What is wanted stands in the row (`mode`, `wanted_mode`, `stop_at`) before the provider is asked for
it by a task, with no row locked. `check_at` is when the sweep has a row looked at again; events
only make us look sooner. Unknown keeps; an end that the provider tells, or the end of the call,
ends it. No figure of a call changes by it.
"""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils.translation import gettext as _

from agents.models import Preferences
from agents.refusals import Refused
from callcenter import bell
from callcenter.sautikit import errors, phone
from callcenter.sautikit import supervision as wire
from callcenter.sautikit.callbacks import CallNotice
from callcenter.sautikit.supervision import Listening, Supervised
from queues import alerts, arrivals, breaker, pace, provider, wallet
from queues.models import Breaker, CallEvent, Leg, QueuedCall, Supervision
from queues.models.supervision import OPEN_STATES
from queues.scene import Contended, Scene, scene

log = logging.getLogger(__name__)
KIND = wire.KIND  # what the kinds of its events begin with
Mode, State = Supervision.Mode, Supervision.State
UNSENT = timedelta(seconds=2)  # after which the bell of a planned one was lost
AGAIN = timedelta(seconds=1)  # after a request without an answer
ASK_WHILE_RINGING = timedelta(seconds=3)
ASK_WHILE_LISTENING = timedelta(seconds=30)
PLACE_WITHIN = timedelta(seconds=30)  # after which one that the provider has not taken is given up
SHOWN_AFTER = timedelta(seconds=5)  # by when the provider shows what it has taken
RING_FOR = timedelta(seconds=60)  # by then the supervisor has not answered
GONE_AFTER = timedelta(seconds=60)  # a call that ended so long ago is listened to by nobody


# --- What a supervisor asks for ----------------------------------------------------------------


def start(call_id: str, mode: str, *, user: Any, at: datetime) -> Supervision:
    """Have this supervisor's phone rung, to listen to a talk; raise Refused."""
    if mode not in Mode.values:
        raise Refused(_("There is no such way of listening in."))
    own = _own_phone(user)
    call_pk = arrivals.public_id(call_id)
    if call_pk is None:
        raise Refused(_("There is no such call."))
    if why := provider.why_not_dialling(at):
        raise Refused(why)
    try:
        with scene(call_pk, at=at, source="supervisor") as opened:
            return _plan(opened, mode, user, own)
    except Contended as error:
        raise Refused(_("The call is changing hands at this moment. Please try again.")) from error
    except IntegrityError as error:  # by somebody who was quicker, on a connection of their own
        raise Refused(_("Somebody listens to this call already.")) from error


def _own_phone(user: Any) -> str:
    chosen = Preferences.objects.filter(user=user).values_list("phone", flat=True).first()
    if not chosen:
        raise Refused(_("Set the phone on which you listen, in your preferences, first."))
    return phone.normalise(chosen)


def _plan(opened: Scene, mode: str, user: Any, own: str) -> Supervision:
    call, at = opened.call, opened.at
    if call.is_final:
        raise Refused(_("The call is over meanwhile."))
    if call.state != QueuedCall.State.CONNECTED:
        raise Refused(_("Only a talk can be listened to; nobody talks on this call yet."))
    if opened.agent and own == opened.agent.destination:
        raise Refused(_("This call is on your own phone."))
    live = Supervision.objects.filter(state__in=OPEN_STATES).select_related("supervisor")
    if other := live.filter(call=call).first():
        who = other.supervisor.get_username() if other.supervisor else _("Somebody")
        raise Refused(_("%(who)s listens to this call already.") % {"who": who})
    if live.filter(supervisor=user).exists():
        raise Refused(_("You listen to another call already. End that first."))
    leg = _leg_of(call)
    if leg is None:
        raise Refused(_("This call cannot be listened to: the provider has not named its legs."))
    planned = Supervision.objects.create(
        call=call, leg=leg, supervisor=user, phone=own, mode=mode, created_at=at,
        check_at=at + UNSENT,
    )  # fmt: skip
    opened.note("listening_asked", by=user.get_username(), mode=mode)
    bell.ring("supervise", str(planned.pk))
    return planned


def _leg_of(call: QueuedCall) -> Leg | None:
    """Return the leg to listen to: the agent's if we placed it, else the customer's."""
    legs = [leg for leg in Leg.objects.filter(call=call, ended_at=None) if leg.handle]
    agents = [leg for leg in legs if leg.role == Leg.Role.AGENT and leg.is_placed_by_us]
    customers = [leg for leg in legs if leg.role == Leg.Role.CUSTOMER]
    return next(iter(agents + customers), None)


def change(pk: uuid.UUID, mode: str, *, user: Any, at: datetime) -> Supervision:
    """Change whether this supervisor is heard, and by whom; raise Refused."""
    if mode not in Mode.values:
        raise Refused(_("There is no such way of listening in."))
    found = _open(pk)
    if found.supervisor_id != user.pk:
        raise Refused(_("Only who listens can change how."))
    _update(found, wanted_mode="" if mode == found.mode else mode, check_at=at)
    bell.ring("supervise", str(pk))
    return _open(pk)


def stop(pk: uuid.UUID, *, user: Any, at: datetime) -> Supervision:
    """Take a supervisor off the call; raise Refused when that is over."""
    found = _open(pk)
    with transaction.atomic():
        if _update(found, stop_at=at, check_at=at):
            _note(found, "listening_stopped", at, by=user.get_username())
    bell.ring("supervise", str(pk))
    return found


def open_by_call() -> dict[uuid.UUID, Supervision]:
    """Return who is asked to listen, rings or listens at present, by the call's key."""
    live = Supervision.objects.filter(state__in=OPEN_STATES).select_related("supervisor")
    return {found.call_id: found for found in live}


def _open(pk: uuid.UUID) -> Supervision:
    live = Supervision.objects.filter(pk=pk, state__in=OPEN_STATES)
    found = live.select_related("supervisor", "call").first()
    if found is None:
        raise Refused(_("This listening in is over already."))
    return found


# --- What is told, and what is due -------------------------------------------------------------


def hear(notice: CallNotice) -> None:
    """An event tells of listening in: whatever it says, we look ourselves."""
    live = Supervision.objects.filter(state__in=OPEN_STATES)
    legs = Leg.objects.by_handles(notice.handles) if notice.handles else Leg.objects.none()
    named = live.filter(leg__in=legs) | live.filter(
        provider_id__in=wire.ids_of(notice.data, notice.raw)
    )
    for pk in named.values_list("pk", flat=True):
        bell.ring("supervise", str(pk))


DUE = """EXISTS (
    SELECT 1 FROM queues_supervision s JOIN queues_queuedcall c ON c.id = s.call_id
    WHERE s.ended_at IS NULL AND (s.check_at <= %(at)s
        OR (s.stop_at IS NULL AND c.ended_at IS NOT NULL)))"""
_OVER = """
UPDATE queues_supervision s SET stop_at = %(at)s, check_at = %(at)s
FROM queues_queuedcall c
WHERE c.id = s.call_id AND s.ended_at IS NULL AND s.stop_at IS NULL AND c.ended_at IS NOT NULL
"""
LEASE = """
UPDATE queues_supervision SET check_at = %(later)s WHERE id IN (
    SELECT id FROM queues_supervision WHERE check_at <= %(at)s AND ended_at IS NULL
    ORDER BY check_at LIMIT %(most)s FOR UPDATE SKIP LOCKED) RETURNING id"""


def stop_with_their_calls(at: datetime) -> None:
    """Let those end whose call is over."""
    with connection.cursor() as cursor:
        cursor.execute(_OVER, {"at": at})


# --- What is asked of the provider -------------------------------------------------------------


def look(pk: uuid.UUID, *, at: datetime) -> None:
    """Do what is due of one: have the phone rung, ask, change the mode, or end it."""
    found = (
        Supervision.objects.filter(pk=pk, state__in=OPEN_STATES)
        .select_related("leg", "call", "supervisor")
        .first()
    )
    if found is None:
        return
    is_planned = found.state == State.PLANNED
    if found.stop_at or found.call.is_final:
        _take_off(found, at)
    elif is_planned and at - found.created_at > PLACE_WITHIN:
        _update(found, stop_at=at)
        _take_off(found, at)
    elif is_planned:
        _place(found, at)
    else:
        _ask(found, at)


def _place(found: Supervision, at: datetime) -> None:
    wait = AGAIN if _is_away(at) else pace.take_turn(at=at)
    if wait:
        _update(found, check_at=at + wait)
        return
    body = wire.body_to_start(found.phone, found.mode, label=found.pk.hex)
    try:
        seen = provider.client().start_supervision(
            found.leg.handle, body, idempotency_key=found.pk.hex
        )
    except errors.Unavailable as error:
        wait = timedelta(seconds=error.retry_after) if error.retry_after else AGAIN
        _update(found, check_at=at + wait, error=str(error)[:200])
    except errors.Conflict as error:
        if found.error:  # an earlier request went out, and this one is its own rival
            _update(found, state=State.RINGING, check_at=at)
            _ask(found, at)
        else:
            _end(found, at, error=_("Somebody listens to this call already."))
            log.info("supervision of %s was refused: %s", found.call, error)
    except errors.SautikitError as error:
        _refused(found, error, at)
    else:
        is_taken = _update(
            found, state=State.RINGING, provider_id=seen.supervision_id[:128], error="",
            check_at=at + ASK_WHILE_RINGING,
        )  # fmt: skip
        if is_taken:
            _take(found, seen, at)
        elif not Supervision.objects.filter(pk=found.pk, state__in=OPEN_STATES).exists():
            _take_off(found, at)  # ended while the request was out


def _is_away(at: datetime) -> bool:
    row = Breaker.objects.filter(pk=breaker.API).first()
    if row is None:
        return False
    is_paused = row.paused_until is not None and row.paused_until > at
    return is_paused or row.state != Breaker.State.CLOSED


def _refused(found: Supervision, error: errors.SautikitError, at: datetime) -> None:
    log.warning("supervision of %s was refused: %s", found.call, error)
    told = _("Sautikit refused it: %(error)s") % {"error": error}
    if isinstance(error, errors.OutOfFunds):
        wallet.stop_dialling(str(error), at=at)
        told = _("The Sautikit wallet is empty.")
    elif isinstance(error, errors.Unauthorised):
        alerts.raise_alert(
            "provider", "supervise",
            f"The API key may not listen in on calls (scope calls.supervise): {error}", at=at,
        )  # fmt: skip
        told = _("The API key may not listen in on calls.")
    _end(found, at, error=told)


def _ask(found: Supervision, at: datetime) -> None:
    """Ask how it stands; a network error, and 404 while the call goes on, keep what we believe."""
    try:
        seen = provider.client().get_supervision(found.leg.handle)
    except errors.SautikitError as error:
        log.info("no news of %s: %s", found, error)
        _update(found, check_at=at + _patience(found))
        return
    if seen is None and at - found.created_at < SHOWN_AFTER:
        _update(found, check_at=at + ASK_WHILE_RINGING)
        return
    is_ours = seen and (not found.provider_id or seen.supervision_id in ("", found.provider_id))
    _take(found, seen if seen and is_ours else Supervised(state=Listening.ENDED), at)


def _take(found: Supervision, seen: Supervised, at: datetime) -> None:
    """Take in how the provider says that it stands."""
    if seen.state is Listening.CONNECTED or (seen.is_over and seen.connected_at):
        _connected(found, seen, at)
    if seen.is_over:
        _end(found, seen.ended_at or at, noticed_at=at)
        return
    if found.state == State.RINGING and at - found.created_at > RING_FOR:
        _update(found, stop_at=at, check_at=at)
        _take_off(found, at)
        return
    _update(found, check_at=at + _patience(found))
    if found.state == State.CONNECTED and found.wanted_mode:
        _change_mode(found, at)


def _patience(found: Supervision) -> timedelta:
    return ASK_WHILE_LISTENING if found.state == State.CONNECTED else ASK_WHILE_RINGING


def _connected(found: Supervision, seen: Supervised, at: datetime) -> None:
    connected_at = min(max(seen.connected_at or at, found.created_at), at)
    with transaction.atomic():
        before = Supervision.objects.filter(pk=found.pk, state__in=[State.PLANNED, State.RINGING])
        if not before.update(state=State.CONNECTED, connected_at=connected_at):
            return
        found.state, found.connected_at = State.CONNECTED, connected_at
        _note(found, "listening_started", connected_at, mode=found.mode)


def _change_mode(found: Supervision, at: datetime) -> None:
    wanted = found.wanted_mode
    try:
        provider.client().change_supervision(found.leg.handle, wanted)
    except (errors.Unavailable, errors.Conflict) as error:
        _update(found, check_at=at + AGAIN, error=str(error)[:200])
    except errors.SautikitError as error:
        _update(found, wanted_mode="", error=str(error)[:200])
    else:
        with transaction.atomic():
            asked = Supervision.objects.filter(pk=found.pk, state=State.CONNECTED)
            is_news = asked.exclude(mode=wanted).update(mode=wanted, error="")
            asked.filter(wanted_mode=wanted).update(wanted_mode="")
            if is_news:  # two workers may have asked for the same
                _note(found, "listening_changed", at, mode=wanted)


def _take_off(found: Supervision, at: datetime) -> None:
    """Have the provider end it. What ended with its call needs no answer for ever."""
    call = found.call
    is_long_over = call.ended_at is not None and at - call.ended_at > GONE_AFTER
    try:
        provider.client().end_supervision(found.leg.handle)
    except errors.Unavailable as error:
        if not is_long_over:
            _update(found, check_at=at + AGAIN * 2, error=str(error)[:200])
            return
    except errors.SautikitError as error:
        log.warning("supervision of %s could not be ended: %s", call, error)
        if not call.is_final:
            told = _("It could not be ended; hang up your phone. %(error)s") % {"error": error}
            _update(found, stop_at=None, check_at=at + ASK_WHILE_RINGING, error=told[:200])
            return
    _end(found, call.ended_at or at, noticed_at=at)


def _end(
    found: Supervision, ended_at: datetime, *, noticed_at: datetime | None = None, error: str = ""
) -> None:
    """Close it: who has listened, ended; else failed, with the reason unless they gave up."""
    has_listened = found.connected_at is not None
    ended_at = max(ended_at, found.connected_at or found.created_at)
    ended_at = min(ended_at, max(noticed_at or ended_at, found.created_at))
    error = error or ("" if has_listened or found.stop_at else _("The phone was not answered."))
    with transaction.atomic():
        closed = _update(
            found, state=State.ENDED if has_listened else State.FAILED, ended_at=ended_at,
            check_at=None, error=error[:200],
        )  # fmt: skip
        if closed:
            _note(found, "listening_ended", ended_at, mode=found.mode, reason=error)


def _update(found: Supervision, **changes: Any) -> bool:
    """Write to a row that is still open; say whether it was."""
    rows = Supervision.objects.filter(pk=found.pk, state__in=OPEN_STATES)
    if not rows.update(**changes):
        return False
    for name, value in changes.items():
        setattr(found, name, value)
    if changes.keys() & {"state", "wanted_mode", "stop_at", "error"}:
        bell.ring("board")
    return True


def _note(found: Supervision, kind: str, at: datetime, **detail: str) -> None:
    """Add an event to the call's timeline, and tell the pages."""
    by = found.supervisor.get_username() if found.supervisor else ""
    told = {"by": by, **{name: value for name, value in detail.items() if value}}
    CallEvent.objects.create(
        call_id=found.call_id, at=at, kind=kind, source="supervision", detail=told
    )
    bell.ring("board")
    if found.call.agent_id:
        bell.ring("desk", found.call.agent_id)
