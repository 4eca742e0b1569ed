"""An agent declines a call that is being offered, without picking up."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from agents.refusals import Refused
from queues import calls
from queues.models import Offer
from queues.scene import Contended, scene


def may_decline(offer: Offer) -> bool:
    """Whether there is a leg of ours to hang up, and a caller who then keeps the place in line.

    A direct dial has none: the leg is part of the caller's own document. Nor has a call that the
    agent asked for. Who is on the way into the room has taken the call.
    """
    rings = not offer.is_final and offer.state != Offer.State.JOINED and offer.conference_at is None
    return rings and offer.kind == Offer.Kind.ROOM and offer.call.is_inbound


def decline(agent_pk: int, *, at: datetime) -> None:
    """End the open offer of this agent: the phone stops ringing, and the caller goes on waiting.

    The agent is passed over for as long as after any declined offer. Raises Refused.
    """
    offer = Offer.objects.open().filter(agent=agent_pk).first()
    if offer is None:
        raise Refused(_("This call is not ringing any more."))
    try:
        with scene(offer.call_id, at=at, source="desk") as opened:
            if opened.offer is None or opened.offer.pk != offer.pk:
                raise Refused(_("This call is not ringing any more."))
            if not may_decline(opened.offer):
                raise Refused(_why_not(opened.offer))
            calls.not_answered(opened, Offer.State.DECLINED)
    except Contended as error:
        raise Refused(_("This call is not ringing any more.")) from error


def _why_not(offer: Offer) -> str:
    if offer.state == Offer.State.JOINED or offer.conference_at:
        return _("You have taken this call already.")
    if not offer.call.is_inbound:
        return _("You asked for this call; hang up on your phone.")
    return _("This caller is connected straight to your phone: let it ring, or decline there.")
