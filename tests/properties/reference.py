"""What the house must do, said once more and simply: a model of callers, agents and time.

Written from the glossary and the call flow, not from the code. It is told what the product is
told (callers, agents, the provider's answers, the time) and says what must be true then. Which
agent gets which caller it does not guess: it checks each choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

RING, WRAP_UP, JOIN_PATIENCE, JOIN_GRACE, MET, NEVER_MET = 15, 10, 8, 3, 1, 5
BUSY_HOLD_OFF, MISSED_HOLD_OFF, MISSED_MOST, STRIKES = 30, 10, 60, 3


@dataclass(eq=False)
class Agent:
    name: str
    queues: tuple[str, ...]
    idle_since: float
    presence: str = "available"
    engagement: str = "idle"
    hold_off_until: float = 0
    wrap_up_until: float = 0
    strikes: int = 0
    routable_since: float = -1


@dataclass(eq=False)
class Call:
    name: str
    queue: str
    priority: int
    arrived: float
    order: int
    state: str = "waiting"
    where: str = ""
    offerable_from: float = 0
    in_line_since: float = 0
    agent: Agent | None = None
    rings_until: float = 0
    is_placed: bool = False
    in_room_at: float | None = None
    talks: list[tuple[float, float]] = field(default_factory=list)
    connected_at: float = 0

    @property
    def place(self) -> tuple[int, float, int]:
        return -self.priority, self.arrived, self.order


class Floor:
    def __init__(self, agents: list[Agent]) -> None:
        self.now = 0.0
        self.agents = agents
        self.calls: list[Call] = []

    # --- Who may have whom ---------------------------------------------------------------------

    def is_routable(self, agent: Agent) -> bool:
        return (
            agent.presence == "available"
            and agent.engagement == "idle"
            and agent.hold_off_until <= self.now
        )

    def in_line(self, queue: str) -> list[Call]:
        """Who may be offered now, in the order of service."""
        found = [
            call for call in self.calls
            if call.queue == queue and call.state == "waiting" and call.offerable_from <= self.now
        ]  # fmt: skip
        return sorted(found, key=lambda call: call.place)

    def free_for(self, queue: str) -> list[Agent]:
        """Who may be offered a call of this queue now, the longest idle first."""
        found = [
            agent for agent in self.agents if queue in agent.queues and self.is_routable(agent)
        ]
        return sorted(found, key=lambda agent: agent.idle_since)

    def could_be_matched(self) -> list[str]:
        """Callers who wait while somebody is free for them: nobody may, after routing."""
        return [
            f"{self.in_line(queue)[0].name} waits and {self.free_for(queue)[0].name} is free"
            for queue in sorted({call.queue for call in self.calls})
            if self.in_line(queue) and self.free_for(queue)
        ]

    def offered(self, call: Call, agent: Agent, considered: set[str]) -> list[str]:
        """The router has chosen; return what is wrong with it.

        Those who came into question in this very second may have done so a moment too late.
        """
        wrong = []
        ahead = [
            other.name for other in self.in_line(call.queue)
            if other.place < call.place and other.in_line_since < self.now
        ]  # fmt: skip
        idler = [
            other.name for other in self.free_for(call.queue)
            if other.idle_since < agent.idle_since and other.routable_since < self.now
        ]  # fmt: skip
        if call not in self.in_line(call.queue):
            wrong.append(f"{call.name} was not to be offered: {call.state}")
        if agent not in self.free_for(call.queue):
            wrong.append(f"{agent.name} was not routable")
        if ahead:
            wrong.append(f"{call.name} was offered before {ahead}")
        if idler:
            wrong.append(f"{agent.name} was chosen before {idler}")
        members = {other.name for other in self.agents if call.queue in other.queues}
        if considered != members:
            wrong.append(f"the decision tells of {considered}, not of {members}")
        call.state, call.agent, call.is_placed, call.in_room_at = "offered", agent, False, None
        call.rings_until = self.now + RING
        agent.engagement = "ringing"
        return wrong

    # --- What happens --------------------------------------------------------------------------

    def arrives(self, name: str, queue: str, priority: int) -> Call:
        call = Call(name, queue, priority, self.now, len(self.calls))
        call.offerable_from = call.in_line_since = self.now + JOIN_PATIENCE
        self.calls.append(call)
        return call

    def joins(self, call: Call) -> None:
        if call.state == "waiting" and call.offerable_from > self.now:
            call.offerable_from = call.in_line_since = self.now

    def leaves(self, call: Call, at: float) -> None:
        """The customer's leg has ended."""
        if call.state == "waiting":
            call.state, call.where = "abandoned", "queue"
        elif (
            call.state == "offered" and call.in_room_at is not None and at - call.in_room_at >= MET
        ):
            self.connects(call, call.in_room_at)
            self.talk_ends(call, at)
        elif call.state == "offered":
            call.state, call.where = "abandoned", "ringing"
            self._free(call)
        elif call.state in {"connected", "completed"} and at <= call.connected_at - NEVER_MET:
            if call.state == "connected":
                self._free(call)
            call.where = "ringing" if call.rings_until - RING <= at else "queue"
            call.state, call.talks = "abandoned", []
        elif call.state == "connected":
            self.talk_ends(call, at)

    def enters_room(self, call: Call) -> None:
        """The agent has answered and is told to join the room."""
        if call.state == "offered" and call.in_room_at is None:
            call.in_room_at = self.now

    def connects(self, call: Call, at: float) -> None:
        if call.state != "offered" or call.agent is None:
            return
        call.state, call.connected_at = "connected", at
        call.agent.engagement, call.agent.strikes, call.agent.hold_off_until = "on_call", 0, 0

    def talk_ends(self, call: Call, at: float) -> None:
        agent = call.agent
        if call.state != "connected" or agent is None:
            return
        call.state = "completed"
        call.talks.append((call.connected_at, max(at, call.connected_at)))
        agent.engagement, agent.wrap_up_until = "wrap_up", max(at, call.connected_at) + WRAP_UP
        if agent.wrap_up_until <= self.now:
            self._idle(agent, self.now)

    def agent_hangs_up(self, call: Call, *, busy: bool = False, at: float | None = None) -> None:
        """The agent's leg has ended: unanswered, at once after answering, or after the talk."""
        at = self.now if at is None else at
        if call.state == "connected":
            self.talk_ends(call, at)
        elif call.state == "offered" and call.in_room_at is not None:
            if at - call.in_room_at >= MET:
                self.connects(call, call.in_room_at)
                self.talk_ends(call, at)
            else:
                self._back_in_line(call, hold_off=10)
        elif call.state == "offered" and busy:
            self._back_in_line(call, hold_off=BUSY_HOLD_OFF)
        elif call.state == "offered":
            self._missed(call)

    def _missed(self, call: Call) -> None:
        agent = call.agent
        assert agent
        agent.strikes += 1
        self._back_in_line(call, hold_off=min(MISSED_HOLD_OFF * agent.strikes, MISSED_MOST))
        if agent.strikes >= STRIKES and agent.presence == "available":
            agent.presence = "break"

    def _back_in_line(self, call: Call, *, hold_off: float) -> None:
        agent = call.agent
        assert agent
        self._free(call)
        agent.hold_off_until = agent.routable_since = self.now + hold_off
        call.state, call.agent, call.in_room_at = "waiting", None, None
        call.offerable_from = call.in_line_since = self.now

    def _free(self, call: Call) -> None:
        assert call.agent
        call.agent.engagement, call.agent.routable_since = "idle", self.now

    def _idle(self, agent: Agent, since: float) -> None:
        agent.engagement, agent.idle_since, agent.routable_since = "idle", since, self.now

    def presence(self, agent: Agent, word: str) -> None:
        if agent.presence == word:
            return
        if word == "available":
            agent.hold_off_until, agent.strikes = 0, 0
            agent.idle_since = agent.routable_since = self.now
        agent.presence = word

    def is_done(self, agent: Agent) -> None:
        if agent.engagement == "wrap_up":
            self._idle(agent, self.now)

    def falls_due(self) -> None:
        """What the clock alone brings about; the provider's answers come by themselves."""
        for agent in self.agents:
            if agent.engagement == "wrap_up" and agent.wrap_up_until <= self.now:
                self._idle(agent, agent.wrap_up_until)
        for call in self.calls:
            if call.state != "offered":
                continue
            if call.in_room_at is not None and self.now - call.in_room_at >= JOIN_GRACE:
                self.connects(call, call.in_room_at)
            elif call.in_room_at is None and call.rings_until <= self.now:
                if call.is_placed:
                    self._missed(call)
                else:
                    self._back_in_line(call, hold_off=0)
