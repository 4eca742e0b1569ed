"""Agents as rows: who, where their phone rings, in which queues."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from agents.models import Agent
from agents.serializers import AgentSerializer
from callcenter.sheets.rows import Column, Rows

_WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
NO_QUEUES = "none"


class AgentRows(Rows):
    """A password is taken for a new agent only, and is never shown or exported."""

    serializer = AgentSerializer
    key = "username"
    most_rows = 300
    write_only = ("initial_password",)
    explained = _(
        "username says who; destination is a number or a SIP address; queues are slugs with "
        "commas, or none; confirm_key is yes or no; initial_password is for new agents. An "
        "empty cell leaves what is there. Nobody is removed."
    )

    username = Column("username", lambda agent: agent.user.username)
    name = Column("name", lambda agent: agent.name)
    destination = Column("destination", lambda agent: agent.destination)
    queues = Column("queues", lambda agent: ", ".join(_slugs(agent)))
    confirm_key = Column("confirm_key", lambda agent: "yes" if agent.confirm_key else "no")

    class Meta(Rows.Meta):
        model = Agent
        fields = ("username", "name", "destination", "queues", "confirm_key")
        import_id_fields = ("username",)

    def find(self, key: str) -> Agent | None:
        agents = Agent.objects.current().select_related("user")
        return agents.filter(user__username=key).first()

    def read(self, row: dict[str, str], *, is_new: bool) -> dict[str, Any]:
        """Return the serializer's values. Raises ValidationError at a cell."""
        asked: dict[str, Any] = super().read(row, is_new=is_new)
        if "queues" in asked:
            slugs = [slug.strip() for slug in asked["queues"].replace(";", ",").split(",")]
            asked["queues"] = [] if slugs == [NO_QUEUES] else [slug for slug in slugs if slug]
        if "confirm_key" in asked:
            word = asked["confirm_key"].lower()
            if word not in _WORDS:
                raise ValidationError({"confirm_key": "Write yes or no."})
            asked["confirm_key"] = _WORDS[word]
        if password := asked.pop("initial_password", ""):
            if not is_new:
                raise ValidationError({"initial_password": "Only a new agent gets one."})
            asked["password"] = password
        return asked

    def is_so_already(self, row: Agent, asked: dict[str, Any]) -> bool:
        rest = {name: value for name, value in asked.items() if name not in {"user", "queues"}}
        queues = asked.get("queues")
        if queues is not None and {queue.slug for queue in queues} != set(_slugs(row)):
            return False
        return super().is_so_already(row, rest)


def _slugs(agent: Agent) -> list[str]:
    queues: Any = agent.queues
    return sorted(queue.slug for queue in queues.all())
