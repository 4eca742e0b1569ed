"""The words of the pages: states, events, sources and rules, each with its tone and its shape.

Lazy translations: a word becomes text when a page is shown, in that page's language.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

# Each state: its word, its tone (a colour of app.css), its shape (a symbol of _shapes.html).
AGENT = {
    "idle": (_("Free"), "free", "disc"),
    "ringing": (_("Ringing"), "ring", "diamond"),
    "on_call": (_("On a call"), "talk", "square"),
    "wrap_up": (_("Wrap-up"), "wrap", "half"),
    "break": (_("Break"), "rest", "bars"),
    "offline": (_("Offline"), "off", "circle"),
}
CALL = {
    "greeting": (_("Arriving"), "off", "dots"),
    "dialling": (_("Dialling out"), "ring", "diamond"),
    "waiting": (_("Waiting"), "ring", "glass"),
    "offered": (_("Ringing"), "ring", "diamond"),
    "connected": (_("Talking"), "talk", "square"),
    "completed": (_("Completed"), "free", "check"),
    "abandoned": (_("Abandoned"), "bad", "cross"),
    "no_answer": (_("No answer"), "rest", "cross"),
    "busy": (_("Busy"), "rest", "cross"),
    "voicemail": (_("Voicemail"), "wrap", "check"),
    "callback": (_("Called back"), "wrap", "check"),
    "overflowed": (_("Overflowed"), "wrap", "arrow"),
    "expired": (_("Waited too long"), "bad", "cross"),
    "closed_hours": (_("Closed"), "off", "circle"),
    "rejected": (_("Not let in"), "off", "cross"),
    "failed": (_("Failed"), "bad", "cross"),
}
OFFER = {
    "dialling": (_("Dialling"), "ring", "diamond"),
    "ringing": (_("Ringing"), "ring", "diamond"),
    "answered": (_("Picked up"), "ring", "diamond"),
    "joined": (_("Talking"), "talk", "square"),
    "ended": (_("Answered"), "free", "check"),
    "no_answer": (_("Missed"), "bad", "cross"),
    "busy": (_("Phone was busy"), "rest", "cross"),
    "failed": (_("Not reached"), "rest", "cross"),
    "declined": (_("Declined"), "rest", "cross"),
    "no_keypress": (_("1 not pressed"), "bad", "cross"),
    "caller_gone": (_("Caller had gone"), "off", "circle"),
    "expired": (_("No word in time"), "rest", "cross"),
}
# What a stretch of a call's picture is; the pattern that fills it goes by the same name.
PHASE = {
    "menu": (_("Menu"), "off", "dots"),
    "greeting": (_("Greeting"), "free", "arrow"),
    "tone": (_("Ringing tone"), "ring", "diamond"),
    "message": (_("Hold message"), "rest", "bars"),
    "music": (_("Hold music"), "rest", "glass"),
    "reserved": (_("Reserved"), "off", "half"),
    "ringing": (_("Ringing"), "ring", "diamond"),
    "up": (_("Connected"), "free", "disc"),
    "room": (_("In the room"), "off", "square"),
    "answered": (_("Picked up"), "wrap", "half"),
    "talk": (_("Talk"), "talk", "square"),
    "wrap_up": (_("Wrap-up"), "wrap", "half"),
    "outlived": (_("Not hung up yet"), "bad", "cross"),
    "listen": (_("Listens"), "off", "person"),
    "whisper": (_("Whispers"), "wrap", "person"),
    "barge": (_("Barges in"), "bad", "person"),
}
VOCABULARY = {"agent": AGENT, "call": CALL, "offer": OFFER, "phase": PHASE}

ABANDONED = {
    "menu": _("The caller hung up in the menu."),
    "queue": _("The caller hung up while waiting."),
    "ringing": _("The caller hung up while an agent's phone rang."),
}
# Each kind of CallEvent: its sentence, its tone, its shape.
EVENTS = {
    "arrived": (_("The call came in."), "free", "arrow"),
    "dialling": (
        _("{agent} asked for this call: the contact's phone is dialled."), "free", "arrow",
    ),
    "key_pressed": (_("The caller pressed {digits}."), "off", "dots"),
    "no_key": (_("The caller pressed no key."), "off", "dots"),
    "holding": (_("Sent to the hold room."), "ring", "glass"),
    "never_met": (
        _("The customer had hung up before {agent} came into the room."), "off", "circle",
    ),
    "leg_outlived": (
        _("A leg was still up after its end had been told: it is hung up."), "bad", "cross",
    ),
    "joined_room": (_("Waiting in the hold room, with music."), "ring", "glass"),
    "left_room": (_("The caller left the hold room."), "off", "circle"),
    "held_back": (
        _("Held back by our own limit on placing calls; it is placed in its turn."),
        "ring", "glass",
    ),
    "contact_answered": (_("The contact answered; {agent} is brought in."), "free", "check"),
    "offered": (_("Offered to {agent}."), "ring", "diamond"),
    "agent_answered": (_("{agent} picked up."), "ring", "diamond"),
    "connected": (_("{agent} and the customer talk."), "talk", "square"),
    "offer_ended": (_("The talk with {agent} ended."), "wrap", "half"),
    "offer_no_answer": (_("{agent} did not answer."), "bad", "cross"),
    "offer_busy": (_("{agent}'s phone was busy."), "rest", "cross"),
    "offer_failed": (_("{agent} could not be reached."), "rest", "cross"),
    "offer_declined": (_("{agent} declined."), "rest", "cross"),
    "offer_no_keypress": (_("{agent} picked up and did not press 1."), "bad", "cross"),
    "offer_caller_gone": (_("The customer left before {agent} came."), "off", "circle"),
    "offer_expired": (_("The provider said nothing in time: the offer ended."), "rest", "cross"),
    "back_in_line": (_("Back in line, in the original place."), "ring", "glass"),
    "agent_put_on_break": (
        _("{agent} was put on break after {missed} missed calls."), "rest", "bars",
    ),
    "completed": (_("The call is complete."), "free", "check"),
    "no_answer": (_("The contact did not answer."), "rest", "cross"),
    "busy": (_("The contact was busy."), "rest", "cross"),
    "expired": (_("Waited for as long as the queue allows."), "bad", "cross"),
    "rejected": (_("The caller was not let in."), "off", "cross"),
    "failed": (_("The call failed."), "bad", "cross"),
    "hung_up_by_supervisor": (_("A supervisor hung up the call."), "off", "cross"),
    "moved_up": (_("{by} moved the caller to the head of the line."), "free", "arrow"),
    "moved_to_queue": (_("{by} moved the caller to the queue {queue}."), "free", "arrow"),
    "kept_for": (_("{by} keeps the caller for {agent}."), "wrap", "person"),
    "kept_no_more": (_("The caller is kept for nobody any more."), "off", "person"),
    "pulled": (_("{by} had the caller offered to {agent}."), "free", "arrow"),
    "listening_asked": (_("{by} asked to listen in."), "off", "person"),
    "listening_started": (_("A supervisor listens in."), "wrap", "person"),
    "listening_changed": (_("The supervisor's part in the call changed."), "wrap", "person"),
    "listening_stopped": (_("{by} stopped the listening in."), "off", "person"),
    "listening_ended": (_("The listening in ended."), "off", "person"),
    "help_asked": (_("{agent} asked the supervisors for help."), "bad", "diamond"),
    "help_withdrawn": (_("{agent} needs no help any more."), "free", "check"),
    "wrap_up_extended": (_("{agent} took more time for the wrap-up."), "wrap", "half"),
    "wrap_up_ended": (_("{agent} finished the wrap-up."), "wrap", "check"),
    "dispositioned": (_("The disposition was taken back."), "wrap", "half"),
    "corrected": (
        _("Corrected by the provider's record: {agent} had answered after all."), "wrap", "check",
    ),
    "correction_too_late": (
        _("The provider's record came too late to correct the call."), "rest", "cross",
    ),
}  # fmt: skip
OFFERED = {
    "direct": _("Offered to {agent}, dialled straight from the call."),
    "room": _("Offered to {agent}, called into the room."),
    "click": _("Offered to {agent}, reserved until the contact answers."),
}
CORRECTED = {  # by what the call or the offer became
    "abandoned": _("Corrected by the provider's record: the two had never talked."),
    "busy": _("Corrected by the provider's record: {agent}'s phone had been busy."),
}
DISPOSITIONED = {
    "wrap_up_ended": _("{agent} finished the wrap-up: {disposition}."),
    "dispositioned": _("Disposition, written later: {disposition}."),
}
NOT_DISPOSITIONED = _("The wrap-up of {agent} ended without a disposition.")
LISTENING = {  # by the mode
    "listen": _("The supervisor listens; nobody hears them."),
    "whisper": _("The supervisor whispers: the agent hears them."),
    "barge": _("The supervisor has barged in: both hear them."),
}
ESTIMATED = _("{agent} and the customer talk, from an estimated time on.")
# Why something ended, in the domain's own words.
REASONS = {
    "agent hung up": _("the agent hung up"),
    "agent is done": _("the agent said that it was over"),
    "agent left the room": _("the agent left the room"),
    "agent not reached": _("the agent was not reached"),
    "corrected by the provider's record": _("corrected by the provider's record"),
    "could not be placed": _("it could not be placed"),
    "customer hung up": _("the customer hung up"),
    "customer left the room": _("the customer left the room"),
    "dial over": _("the dial was over"),
    "no choice in the menu": _("no choice was made in the menu"),
    "nobody signed in": _("nobody was signed in"),
    "over when first heard of": _("it was over when it was first heard of"),
    "hung up by a supervisor": _("a supervisor hung it up"),
    "queue closed": _("the queue was closed"),
    "the provider is away": _("the provider was away"),
    "unknown number": _("the number is on no queue"),
    "waited too long": _("waited too long"),
    "wallet empty": _("the wallet was empty"),
}
SOURCES = {
    "inbound": _("voice webhook"),
    "menu": _("menu"),
    "dial-result": _("end of a dial"),
    "queue-events": _("room event"),
    "agent-join": _("agent's phone"),
    "agent-status": _("agent's phone"),
    "outbound-answer": _("contact's phone"),
    "outbound-status": _("contact's phone"),
    "events": _("event webhook"),
    "record": _("the provider, asked"),
    "records": _("call records"),
    "sweep": _("our own clock"),
    "router": _("router"),
    "desk": _("agent's page"),
    "supervisor": _("supervisor's room"),
    "room": _("supervisor's room"),
    "admin": _("admin"),
    "dialling": _("placing a call"),
    "connect-agent": _("pulled by hand"),
}
PASSED_OVER = {
    "break": _("on break"),
    "offline": _("offline"),
    "ringing": _("ringing"),
    "on_call": _("on a call"),
    "wrap_up": _("in wrap-up"),
}
HOLD_OFF = {
    "no_answer": _("the last call was not answered"),
    "busy": _("the phone was busy"),
    "declined": _("the last call was declined"),
    "no_keypress": _("1 was not pressed"),
    "unreachable": _("the phone could not be reached"),
}
STRATEGIES = {
    "longest_idle": _("the longest idle"),
    "round_robin": _("the least recently offered"),
    "fewest_calls": _("the fewest calls today"),
    "least_talk": _("the least talk time today"),
    "linear": _("first in the order of the members"),
    "random": _("by lot"),
}
# A leg and a call record: who, and how it stands.
LEG = {
    "customer": _("Customer"),
    "agent": _("Agent"),
    "planned": _("To be placed"),
    "ringing": _("Ringing"),
    "started": _("Ringing"),
    "answered": _("Answered"),
    "ended": _("Ended"),
    "completed": _("Completed"),
    "failed": _("Failed"),
    "no_answer": _("No answer"),
    "busy": _("Busy"),
    "canceled": _("Cancelled"),
    "unknown": _("Unknown"),
}
