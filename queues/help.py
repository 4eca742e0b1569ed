"""An agent on a call asks the supervisors for help: an alert, for as long as the call goes on."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from agents.refusals import Refused
from queues import alerts
from queues.models import Alert, Offer, QueuedCall
from queues.scene import Contended, Scene, scene

KIND = "help"  # its subject is the call's public id


def is_asked(call: QueuedCall) -> bool:
    """Whether help is asked for on this call, and no supervisor has dismissed it."""
    return Alert.objects.filter(kind=KIND, subject=call.public_id, dismissed_at=None).exists()


def ask(agent_pk: int, *, at: datetime) -> None:
    """Tell the supervisors that the agent needs help with the talk in progress. Raises Refused.

    Asked twice it is one alert. It goes when the call ends (`queues.desk_sweep`).
    """
    talk = _talk(agent_pk)
    try:
        with scene(talk.call_id, at=at, source="desk") as opened:
            if not _is_still(opened, talk):
                raise Refused(_("You are not on a call any more."))
            if is_asked(opened.call):
                return
            queue = f" ({talk.queue.name})" if talk.queue else ""
            text = f"{talk.agent.name}{queue} asks for help with a call."
            alerts.raise_alert(
                KIND, opened.call.public_id, text, at=opened.at, queue_pk=talk.queue_id
            )
            opened.note("help_asked", agent=talk.agent.name)
    except Contended as error:
        raise Refused(_("You are not on a call any more.")) from error


def withdraw(agent_pk: int, *, at: datetime) -> None:
    """The agent needs no help any more. Where none was asked for, nothing happens."""
    talk = Offer.objects.filter(agent=agent_pk, state=Offer.State.JOINED).first()
    if talk is None:
        return
    with scene(talk.call_id, at=at, source="desk") as opened:
        if is_asked(opened.call):
            alerts.withdraw(KIND, opened.call.public_id, at=opened.at)
            opened.note("help_withdrawn", offer=talk)


def _talk(agent_pk: int) -> Offer:
    talks = Offer.objects.filter(agent=agent_pk, state=Offer.State.JOINED)
    talk = talks.select_related("agent", "queue").first()
    if talk is None:
        raise Refused(_("You are not on a call any more."))
    return talk


def _is_still(opened: Scene, talk: Offer) -> bool:
    return bool(
        opened.offer and opened.offer.pk == talk.pk and opened.offer.state == Offer.State.JOINED
    )
