"""The URLs that Sautikit posts to: each parses, calls one domain function, and answers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.db.models import Q
from django.http import FileResponse, HttpRequest, HttpResponse

from agents.models import Agent
from callcenter import bell
from callcenter.sautikit.callbacks import (
    CallNotice,
    ConferenceEvent,
    Outcome,
    State,
    VoiceCallback,
    normalise_status,
    parse_conference,
    parse_notice,
)
from queues import (
    adoption,
    agent_legs,
    arrivals,
    calls,
    documents,
    ivr,
    links,
    reconcile,
    recordings,
    routing,
    supervision,
)
from queues import hold_music as hold_music_file
from queues.inbox import Arrival, Post
from queues.links import Reference
from queues.models import Leg, Offer, QueuedCall, WebhookEvent
from queues.models.leg import our_label
from queues.receiving import Refused, event, voice
from queues.scene import Scene, scene

# --- Voice URLs --------------------------------------------------------------------------------


@voice("inbound", own_token=True)
def inbound(post: Post, callback: VoiceCallback) -> str | None:
    """A customer dials a number; also the later edges of that call, and of legs that we placed."""
    arrival, at = post.arrival, post.at
    if callback.handle is None and not callback.client_request_id:
        arrival.verdict, arrival.note = WebhookEvent.Verdict.UNKNOWN, "names no call"
        arrival.store()
        return None if callback.is_end else documents.apology()
    leg = Leg.objects.known_by(callback.handles, callback.client_request_id)
    if leg is None:
        numbers = arrivals.numbers_of(callback)
        leg = _leg_we_placed(callback) if callback.caller in numbers else None
    if leg is None:
        document = arrivals.arrive(callback, numbers, at=at, arrival=arrival)
        if document is not None:
            return document
        leg = Leg.objects.known_by(callback.handles)  # a twin of this request was quicker
        if leg is None:
            return documents.apology()
    if leg.role == Leg.Role.AGENT:
        return agent_legs.voice(leg.call_id, leg.offer_id, callback, at=at, arrival=arrival)
    if leg.is_placed_by_us:
        return _contact(leg, callback, post)
    return _customer_edge(leg, callback, post)


def _leg_we_placed(callback: VoiceCallback) -> Leg | None:
    """Our number calling the destination of an open offer: the leg of that offer."""
    if callback.direction == "inbound":
        return None
    legs = Leg.objects.select_related("call", "offer").filter(
        is_placed_by_us=True,
        ended_at=None,
        session_id=None,
        provider_id=None,
        line=callback.caller,
        party=callback.dialled,
    )
    return legs.first()


def _customer_edge(leg: Leg, callback: VoiceCallback, post: Post) -> str | None:
    """A later edge of a customer's leg."""
    if callback.is_end:
        _leg_ended(leg, callback, post)
        return None
    if callback.state is State.DIAL_COMPLETED:
        return _after_dial(leg.call_id, callback, post)
    if callback.digits is not None:
        return ivr.key_pressed(leg.call_id, callback.digits, at=post.at, arrival=post.arrival)
    if leg.call.state == QueuedCall.State.GREETING and leg.call.step == 0:
        return arrivals.serve(leg.call, at=post.at, arrival=post.arrival)  # adopted, unanswered yet
    if _is_resumed(post):
        return _after_dial(leg.call_id, callback, post)
    if callback.state in {State.RINGING, State.NONE}:  # the first POST, repeated
        post.arrival.store(leg.call)
        return "" if leg.call.is_acknowledged else leg.call.document
    post.arrival.store(leg.call)
    return None


def _is_resumed(post: Post) -> bool:
    """Whether a caller comes back from the static plan: answered by state, as after a dial."""
    return "resume=1" in post.arrival.url


def _leg_ended(leg: Leg, callback: VoiceCallback, post: Post) -> None:
    """A leg has hung up; what a dial did, in passing, is evidence of an answer."""
    talked = callback.dial_duration_seconds or 0
    answered = talked > 0 or callback.dial_status in {"answered", "completed"}
    with scene(leg.call_id, at=post.at, source=post.arrival.endpoint) as opened:
        opened.keep(post.arrival)
        if answered and opened.offer and opened.offer.kind == Offer.Kind.DIRECT:
            calls.connect(opened, at=post.at - _seconds(talked))
        reconcile.take(opened, leg, reconcile.end_of(callback))


def _seconds(count: int) -> timedelta:
    return timedelta(seconds=count)


@voice("menu")
def menu(post: Post, callback: VoiceCallback) -> str | None:
    """The keys of a menu, or none in time."""
    call_pk = _call_of(post)
    if callback.is_end:
        _customer_end(call_pk, callback, post)
        return None
    if callback.state is State.DIAL_COMPLETED or _is_resumed(post):
        return _after_dial(call_pk, callback, post)
    step = post.reference.step if post.reference else None
    return ivr.key_pressed(
        call_pk, callback.digits or "", at=post.at, arrival=post.arrival, step=step
    )


@voice("dial-result")
def dial_result(post: Post, callback: VoiceCallback) -> str | None:
    """A dial, or a stay in the hold room, is over: what comes next is decided by the state."""
    call_pk = _call_of(post)
    if callback.is_end:
        _customer_end(call_pk, callback, post)
        return None
    return _after_dial(call_pk, callback, post)


def _after_dial(call_pk: uuid.UUID, callback: VoiceCallback, post: Post) -> str | None:
    talked = callback.dial_duration_seconds or 0
    answered = talked > 0 or callback.dial_status in {"answered", "completed"}
    step = post.reference.step if post.reference else None
    pick = _pick_after_lap(call_pk, post.at)
    with scene(call_pk, at=post.at, source=post.arrival.endpoint, pick=pick) as opened:
        call = opened.call
        opened.keep(post.arrival, about=f":{call.step}")
        if call.is_final:
            customer = Leg.objects.filter(call=call, role=Leg.Role.CUSTOMER, ended_at=None)
            return documents.after_the_end(call) if customer.exists() else None
        if call.state == QueuedCall.State.GREETING:
            return call.document or documents.apology(call)
        if step is not None and step < call.step:
            return call.document  # asked again about a document that has been followed by another
        return calls.after_dial(
            opened,
            answered=answered,
            talked=_seconds(talked),
            outcome=normalise_status(callback.dial_status),
        )


def _pick_after_lap(call_pk: uuid.UUID, at: datetime) -> Callable[[], Agent | None] | None:
    """Return what locks an agent for a caller who holds by laps; None where nobody does."""
    if not routing.sip_to_is_refused():
        return None
    call = QueuedCall.objects.select_related("queue").get(pk=call_pk)
    queue = call.queue
    if queue is None or call.state != QueuedCall.State.WAITING or not routing.holds_by_laps(queue):
        return None
    return lambda: routing.claim_for_lap(call, queue, at)


def _call_of(post: Post) -> uuid.UUID:
    reference = post.reference
    if reference is None or reference.is_offer:
        raise Refused(HttpResponse(status=403))
    return reference.call


def _customer_end(call_pk: uuid.UUID, callback: VoiceCallback, post: Post) -> None:
    leg = Leg.objects.filter(call_id=call_pk, role=Leg.Role.CUSTOMER).first()
    if leg:
        _leg_ended(leg, callback, post)


@voice("agent-join")
def agent_join(post: Post, callback: VoiceCallback) -> str | None:
    """An agent whom we called has answered, pressed a key, or hung up."""
    reference = post.reference
    if reference is None or not reference.is_offer:
        raise Refused(HttpResponse(status=403))
    return agent_legs.voice(
        reference.call,
        reference.offer,
        callback,
        at=post.at,
        arrival=post.arrival,
        timed_out=reference.kind == links.KEY,
    )


@voice("outbound-answer")
def outbound_answer(post: Post, callback: VoiceCallback) -> str | None:
    """A contact whom we called has answered."""
    legs = Leg.objects.filter(call_id=_call_of(post), role=Leg.Role.CUSTOMER)
    leg = legs.select_related("call").get()
    return _contact(leg, callback, post)


def _contact(leg: Leg, callback: VoiceCallback, post: Post) -> str | None:
    if callback.is_end:
        _leg_ended(leg, callback, post)
        return None
    if callback.state is State.DIAL_COMPLETED:
        return _after_dial(leg.call_id, callback, post)
    if leg.call.is_final:
        post.arrival.store(leg.call)
        return None
    with scene(leg.call_id, at=post.at, source=post.arrival.endpoint) as opened:
        opened.keep(post.arrival)
        agent_legs.answered(opened, Q(pk=leg.pk), callback, post.at)
        if opened.call.is_acknowledged:
            return None
        return calls.contact_answered(opened)


# --- Event URLs --------------------------------------------------------------------------------


@event("queue-events", status=204)
def queue_events(post: Post) -> None:
    """Who came into a hold room, who left, and its end."""
    event = parse_conference(post.arrival.fields)
    post.arrival.kind = event.event
    reference = post.reference
    if reference is None:
        return
    if event.event not in {"join", "leave", "end"}:
        post.arrival.verdict = WebhookEvent.Verdict.UNKNOWN if event.event == "other" else "trusted"
        post.arrival.store()
        return
    about = f":{reference.kind}:{reference.step}"
    if event.event != "join" and post.arrival.store_if_over(reference.call, about=about):
        return
    with scene(reference.call, at=post.at, source=post.arrival.endpoint) as opened:
        about = f"{about}:{opened.call.step}"
        if event.event == "join":  # told twice it changes nothing: no need to know beforehand
            opened.keep(post.arrival, about=about)
        elif not post.arrival.store(opened.call, about=about):
            return
        if not opened.call.is_final:
            _in_the_room(opened, event, reference)


def _in_the_room(opened: Scene, event: ConferenceEvent, reference: Reference) -> None:
    if _is_past(reference, opened):
        return
    if event.event == "join" and reference.is_offer:  # the customer was there before
        agent_legs.joined(opened, reference.offer)
        return
    whose, offer_pk = _whose(event, reference, opened)
    if event.event == "join" and whose == Leg.Role.CUSTOMER:
        calls.customer_joined(opened)
    elif event.event == "join":
        agent_legs.joined(opened, offer_pk)
    elif event.event == "leave" and whose == Leg.Role.AGENT:
        agent_legs.left(opened, offer_pk)
    else:
        calls.customer_left_room(opened)


def _is_past(reference: Reference, opened: Scene) -> bool:
    """Whether an event comes late, from an earlier stay in the room than the present one."""
    if reference.is_offer:
        return opened.offer is None or opened.offer.pk != reference.offer
    return reference.step is not None and reference.step < opened.call.step


def _whose(
    event: ConferenceEvent, reference: Reference, opened: Scene
) -> tuple[str, uuid.UUID | None]:
    """Return whose event this is, and an agent's offer: by a known handle, else by the token.

    Where two legs gave one room two URLs, either may be posted to (contract 6.6); before an offer
    the customer is alone there.
    """
    if event.handles and opened.offer:
        legs = Leg.objects.filter(call=opened.call).by_handles(event.handles)
        if known := legs.values_list("role", "offer_id").first():
            return known
    return Leg.Role.AGENT if reference.is_offer else Leg.Role.CUSTOMER, reference.offer


@event("agent-status")
def agent_status(post: Post) -> None:
    """How an agent's leg goes, told at the URL that we named for it."""
    reference = post.reference
    legs = Leg.objects.filter(role=Leg.Role.AGENT, is_placed_by_us=True)
    offer_pk = reference.offer if reference else None
    _status(post, legs.filter(offer_id=offer_pk).first() if offer_pk else None)


@event("outbound-status")
def outbound_status(post: Post) -> None:
    """How a contact's leg goes, told at the URL that we named for it."""
    reference = post.reference
    legs = Leg.objects.filter(role=Leg.Role.CUSTOMER)
    _status(post, legs.filter(call_id=reference.call).first() if reference else None)


def _status(post: Post, leg: Leg | None) -> None:
    notice = parse_notice(post.arrival.headers, post.arrival.fields)
    post.arrival.kind = notice.kind
    if leg is None or notice.outcome is Outcome.UNKNOWN:
        post.arrival.verdict = WebhookEvent.Verdict.UNKNOWN
        post.arrival.store(leg.call if leg else None)
        return
    reconcile.observe(
        leg,
        notice.outcome,
        at=post.at,
        source=post.arrival.endpoint,
        answered_at=notice.answered_at,
        ended_at=notice.ended_at,
        arrival=post.arrival,
    )


@event("events", own_token=True)
def events(post: Post) -> None:
    """Lifecycle events of any call; unsigned ones are hints that make us ask."""
    arrival = post.arrival
    notice = parse_notice(arrival.headers, arrival.fields)
    arrival.kind = notice.kind
    if notice.kind.startswith("wallet."):  # whoever says so: we look ourselves
        if arrival.store():
            bell.ring("look_at_wallet")
        return
    if notice.kind.startswith(supervision.KIND):  # likewise
        if arrival.store():
            supervision.hear(notice)
        return
    if notice.kind == recordings.READY:  # likewise
        _recording_ready(arrival, notice)
        return
    is_early = notice.direction != "outbound" and notice.outcome in _BEFORE_THE_FIRST_POST
    told = arrival.store_unless_news(
        notice.handles,
        our_label(notice.client_request_id),
        notice.outcome,
        ended_at=notice.ended_at,
        is_early=is_early,
    )
    if arrival.verdict == WebhookEvent.Verdict.HINT:
        if told.is_first and notice.handles and (told.is_news or told.leg is None):
            bell.ring("ask_handle", notice.handles[0])
    elif told.is_news or (told.leg is None and not is_early):
        _news(arrival, notice, told.leg)


_BEFORE_THE_FIRST_POST = {Outcome.STARTED, Outcome.RINGING}


@transaction.atomic
def _recording_ready(arrival: Arrival, notice: CallNotice) -> None:
    """Have the recording of a leg of ours fetched; where it is, only our asking tells."""
    leg = recordings.leg_of(notice.handles)
    if leg is None:
        arrival.verdict = WebhookEvent.Verdict.UNKNOWN
    if arrival.store(leg.call if leg else None) and leg:
        recordings.ready(leg, at=arrival.at, duration_seconds=notice.duration_seconds)


def _news(arrival: Arrival, notice: CallNotice, leg: Leg | None) -> None:
    """Take in what a trusted event says; an unknown leg may be that of a direct dial."""
    if leg is None and notice.direction == "outbound":
        leg = adoption.adopt_outbound(
            notice.handles, notice.from_, notice.to, at=arrival.at, lived_at=notice.occurred_at
        )
    if leg is None or notice.outcome is Outcome.UNKNOWN:
        if notice.outcome not in _BEFORE_THE_FIRST_POST:
            arrival.verdict = WebhookEvent.Verdict.UNKNOWN
        arrival.store(leg.call if leg else None)
        return
    reconcile.observe(
        leg,
        notice.outcome,
        at=arrival.at,
        source="events",
        answered_at=notice.answered_at,
        ended_at=notice.ended_at,
        arrival=arrival,
    )


@login_not_required
def hold_music(request: HttpRequest) -> FileResponse:
    """The music that waiting customers hear: made for this project, 14 s that can be looped."""
    return FileResponse(
        hold_music_file.PATH.open("rb"),
        content_type="audio/wav",
        headers={"Cache-Control": "public, max-age=86400"},
    )
