"""Who takes part in a story, and what was true of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

LIVE = {"ringing", "answered"}


@dataclass(frozen=True)
class Ring:
    """What one party does when the phone rings: answers, ignores, is_busy, rejects."""

    how: str = "answers"
    after: float = 3
    key: str | None = "1"  # what is pressed when asked
    leaves: bool = False  # hangs up at once after answering

    def __repr__(self) -> str:
        more = f", key={self.key!r}" if self.key != "1" else ""
        return f"Ring({self.how!r}, {self.after:g}{more}{', leaves=True' if self.leaves else ''})"


@dataclass(frozen=True)
class Person:
    """The customer: what they press, how long they wait, how long they talk."""

    patience: float = 600
    keys: tuple[str | None, ...] = ()
    talk: float = 30
    ends_the_talk: bool = True


@dataclass(eq=False)
class Connection:
    """One leg at the provider."""

    session: str
    uuid: str
    direction: str
    ours: str
    theirs: str
    started_at: datetime
    voice_url: str
    status_url: str = ""
    label: str = ""
    status: str = "ringing"
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    actions: list[dict[str, Any]] = field(default_factory=list)
    turn: int = 0
    room: str = ""
    room_url: str = ""
    ends_room: bool = False
    last_url: str = ""
    dials: Connection | None = None
    parent: Connection | None = None
    ring: Ring = field(default_factory=Ring)

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def who(self) -> str:
        return "agent" if self.parent or self.is_agent else "caller"

    is_agent: bool = False


@dataclass
class Talk:
    """A conversation, as it was."""

    agent: str
    customer: str
    since: datetime
    until: datetime | None = None
