"""Notices: a supervisor's short messages to agents, until each has read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from agents.models import Agent, Notice, NoticeRecipient
from agents.refusals import Refused
from callcenter import bell

LONGEST = 280  # characters, as in the database


@transaction.atomic
def send(text: str, agent_pks: Iterable[int], *, sender: Any, at: datetime) -> Notice:
    """Show a text on the pages of these agents. Raises Refused: no text, too long, nobody."""
    text = " ".join(text.replace("\x00", "").split())
    if not text:
        raise Refused(_("Write what the agents should read."))
    if len(text) > LONGEST:
        raise Refused(_("That is too long: at most %(most)s characters.") % {"most": LONGEST})
    agents = list(Agent.objects.current().filter(pk__in=set(agent_pks)))
    if not agents:
        raise Refused(_("Choose at least one agent."))
    notice = Notice.objects.create(text=text, sender=sender, created_at=at)
    NoticeRecipient.objects.bulk_create(
        NoticeRecipient(notice=notice, agent=agent) for agent in agents
    )
    for agent in agents:
        bell.ring("desk", agent.pk)
    return notice


def unread(agent: Agent) -> list[NoticeRecipient]:
    """Return what this agent has not read yet, oldest first, with its notice and sender."""
    waiting = NoticeRecipient.objects.filter(agent=agent, read_at=None)
    return list(waiting.select_related("notice__sender").order_by("notice__created_at", "pk"))


def read(pk: int, agent_pk: int, *, at: datetime) -> None:
    """Note that this agent has read a notice; `pk` is the recipient's row. Twice is once."""
    mine = NoticeRecipient.objects.filter(pk=pk, agent=agent_pk, read_at=None)
    if mine.update(read_at=at):
        bell.ring("desk", agent_pk)
