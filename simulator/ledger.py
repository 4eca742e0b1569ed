"""The book of what truly happened, for tests, benchmarks and the curious.

Every instant is `time.time()`: seconds since the epoch, UTC, with fractions.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.calls import Leg
    from simulator.supervision import Supervision

RECENT_POSTS = 20_000
RECENT_PROBLEMS = 5_000


@dataclass(slots=True)
class Interaction:
    """Two parties who could hear each other: the truth that reports are held against."""

    caller: str
    agent: str
    caller_leg: str  # session ids
    agent_leg: str
    via: str  # "room" or "dial"
    place: str  # the room's name, or the caller's session id for a dial
    began_at: float
    ended_at: float | None = None


class Ledger:
    """Keeps the story of each leg, the posts, the receipts and the interactions.

    Finished legs beyond `keep_finished` are forgotten, oldest first, together with their
    interactions; 0 keeps all. Live legs are never forgotten.
    """

    def __init__(self, keep_finished: int) -> None:
        self.keep_finished = keep_finished
        self.legs: dict[str, Leg] = {}  # by call_id, oldest first
        self.by_session: dict[str, Leg] = {}
        self.live: dict[Leg, None] = {}  # legs that have not ended, oldest first
        self.finished: deque[Leg] = deque()
        self.interactions: deque[Interaction] = deque()
        self.supervisions: deque[Supervision] = deque(maxlen=RECENT_PROBLEMS)
        self.posts: deque[dict[str, Any]] = deque(maxlen=RECENT_POSTS)
        self.receipts: deque[dict[str, Any]] = deque(maxlen=RECENT_POSTS)
        self.problems: deque[dict[str, Any]] = deque(maxlen=RECENT_PROBLEMS)
        self.injected: deque[dict[str, Any]] = deque(maxlen=RECENT_POSTS)
        self.opened = 0

    def open(self, leg: Leg) -> None:
        self.opened += 1
        self.legs[leg.call_id] = leg
        self.by_session[leg.session_id] = leg
        self.live[leg] = None

    def find(self, handle: str) -> Leg | None:
        """The leg with this UUID or `HD_` session id."""
        return self.legs.get(handle) or self.by_session.get(handle)

    def note(self, leg: Leg, what: str, **details: Any) -> dict[str, Any]:
        """Add a line to the story of a leg."""
        entry = {"at": time.time(), "what": what, **details}
        leg.entries.append(entry)
        leg.touched_at = entry["at"]
        return entry

    def problem(self, leg: Leg, what: str, **details: Any) -> None:
        """Add a line that a healthy call centre never causes; tests assert that there are none."""
        entry = self.note(leg, what, **details)
        self.problems.append({**entry, "call_id": leg.call_id, "session_id": leg.session_id})

    def fault(self, leg: Leg | None, kind: str, **details: Any) -> None:
        """Note a fault that was injected; `leg` where it is about one."""
        entry = {"at": time.time(), "what": "fault", "kind": kind, **details}
        if leg is not None:
            entry = self.note(leg, "fault", kind=kind, **details)
            entry = {**entry, "session_id": leg.session_id}
        self.injected.append(entry)

    def close(self, leg: Leg) -> None:
        """A leg has ended: it may be forgotten from now on."""
        self.live.pop(leg, None)
        self.finished.append(leg)
        while self.keep_finished and len(self.finished) > self.keep_finished:
            old = self.finished.popleft()
            self.legs.pop(old.call_id, None)
            self.by_session.pop(old.session_id, None)
        limit = self.keep_finished
        while limit and len(self.interactions) > limit and self.interactions[0].ended_at:
            self.interactions.popleft()

    def as_json(self, since: float = 0.0) -> dict[str, Any]:
        """Legs touched, and interactions, problems and faults alive or noted since then."""
        return {
            "at": time.time(),
            "legs": [leg.story() for leg in self.legs.values() if leg.touched_at >= since],
            "interactions": [
                asdict(one)
                for one in self.interactions
                if one.ended_at is None or one.ended_at >= since
            ],
            "supervisions": [
                one.story()
                for one in self.supervisions
                if one.ended_at is None or one.ended_at >= since
            ],
            "problems": [one for one in self.problems if one["at"] >= since],
            "injected": [one for one in self.injected if one["at"] >= since],
        }


def latency(posts: Iterable[dict[str, Any]]) -> dict[str, float | int]:
    """Count and percentiles, in milliseconds, of posts that got an answer."""
    took: list[float] = sorted(post["ms"] for post in posts if post["status"])
    if not took:
        return {"count": 0}

    def at(share: float) -> float:
        return round(took[min(len(took) - 1, int(share * len(took)))], 2)

    return {
        "count": len(took),
        "p50_ms": at(0.50),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "max_ms": round(took[-1], 2),
    }
