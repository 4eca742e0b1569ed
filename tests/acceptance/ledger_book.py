"""A day as the provider's own book has it: its calls, offers and charges, and agents' time.

Nothing of the product's rows or code comes in here: only the simulator's ledger, how the house was
set up, and what the test itself did (who was signed in, whom it had called). Instants are seconds
since the epoch. A call counts where it entered the queue, one that never did and one that we placed
where it arrived; an offer where it was made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

QUICK = 0.15  # seconds in which both books have heard of a thing, where nothing is slow
ENDS = (
    "completed", "abandoned_menu", "abandoned_queue", "abandoned_ringing", "overflowed",
    "callback", "voicemail", "expired", "closed_hours", "rejected", "failed", "no_answer", "busy",
)  # fmt: skip
Leg = dict[str, Any]


@dataclass(frozen=True)
class Rules:
    """What counts of a queue's settings, in seconds."""

    number: str
    wrap_up: int
    level: int  # answered within it is in time
    short: int  # left before it is a short abandon


class Click(NamedTuple):
    """An agent has called a contact."""

    at: float
    call: str  # the call's id as the product gave it
    agent: str
    queue: str


@dataclass
class House:
    """How the call centre of the test is set up, and what the test did itself."""

    queues: dict[str, Rules] = field(default_factory=dict)
    menus: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # number: digit, queue
    tries: int = 2  # of a menu
    agents: dict[str, str] = field(default_factory=dict)  # destination: username
    members: dict[str, set[str]] = field(default_factory=dict)  # destination: queues
    clicked: dict[str, Click] = field(default_factory=dict)  # by the contact
    presence: list[tuple[float, str, str]] = field(default_factory=list)  # when, who, what
    closed_at: float = 0.0  # when the last agent went home


@dataclass(frozen=True)
class Call:
    """One call as the provider knows it."""

    handle: str
    queue: str | None
    customer: str
    arrived: float
    queued: float | None
    connected: float | None
    ended: float
    end: str  # one of ENDS
    agent: str = ""
    wrap_up: float = 0.0
    cost: int = 0  # of all its legs, in minor units
    is_inbound: bool = True
    doubt: float = QUICK  # seconds by which the two books may hear of one thing of it
    is_sure: bool = True  # no: two things were too close for both books to have them in one order

    @property
    def counted(self) -> float:
        return self.queued if self.queued is not None and self.is_inbound else self.arrived


@dataclass(frozen=True)
class Offer:
    """One attempt to put an agent on a call."""

    agent: str
    queue: str | None
    made: float
    taken: float | None  # picked up
    began: float | None  # the talk
    ended: float
    state: str
    wrap_up: float
    doubt: float

    @property
    def is_accepted(self) -> bool:
        return self.state == "ended"


@dataclass(frozen=True)
class Charge:
    """One leg on the bill; it counts with its call."""

    counted: float
    queue: str | None
    role: str
    kind: str
    minor: int
    is_inbound: bool


@dataclass
class Book:
    """A day: every call, offer and charge, and how each agent spent the time."""

    calls: list[Call]
    offers: list[Offer]
    charges: list[Charge]
    spans: dict[str, list[tuple[float, float, str]]]  # by agent: from, to, state
    handles: set[str]  # of all legs
    unsure: set[str]  # of the legs of calls that are not sure
    guessed: list[tuple[float, str]]  # when an agent's phone rang for one of several who waited

    def moved(self, move: Callable[[float], float]) -> Book:
        """The same day at another time; `move` never goes back."""

        def maybe(at: float | None) -> float | None:
            return None if at is None else move(at)

        return Book(
            [
                replace(
                    one, arrived=move(one.arrived), queued=maybe(one.queued),
                    connected=maybe(one.connected), ended=move(one.ended),
                )
                for one in self.calls
            ],
            [
                replace(
                    one, made=move(one.made), taken=maybe(one.taken), began=maybe(one.began),
                    ended=move(one.ended),
                )
                for one in self.offers
            ],
            [replace(one, counted=move(one.counted)) for one in self.charges],
            {
                agent: [(move(start), move(end), state) for start, end, state in spans]
                for agent, spans in self.spans.items()
            },
            self.handles, self.unsure,
            [(move(at), agent) for at, agent in self.guessed],
        )  # fmt: skip
