"""Row 4: how many SQL statements a routed call costs; and what the raw comparison plays again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import centre
from bench.house import send
from bench.measure import Row
from bench.recorder import Exchange, Recorder

BARS = {"direct": 30, "held": 50}
CALLER = "+2547990000{:02d}"
_EITHER = {"caller": "the caller", "agent": "the agent"}


@dataclass
class Played:
    """One call, as recorded: who hung up, and all that the call centre did for it."""

    kind: str
    ended_by: str
    exchanges: list[Exchange]

    @property
    def counted(self) -> list[Exchange]:
        """Webhooks, the router where the agent became free, and the POST task."""
        return [
            one
            for one in self.exchanges
            if one.webhook or one.label in {"task place_leg", "routing"}
        ]

    @property
    def beside(self) -> list[Exchange]:
        """Sweeps, and questions to the provider: not in the bar."""
        counted = {id(one) for one in self.counted}
        return [one for one in self.exchanges if id(one) not in counted and one.statements]

    @property
    def statements(self) -> int:
        """How many statements are counted."""
        return sum(len(one.statements) for one in self.counted)


def play_all(recorder: Recorder, simulator: str) -> list[Played]:
    """Play a direct and a held call, each ended by the caller and by the agent."""
    return [_play(recorder, simulator, kind, ended_by) for kind in BARS for ended_by in _EITHER]


def play_some(recorder: Recorder, simulator: str) -> list[list[Exchange]]:
    """Play one call of each kind, for the profile."""
    return [_play(recorder, simulator, kind, "caller").exchanges for kind in BARS]


def _play(recorder: Recorder, simulator: str, kind: str, ended_by: str) -> Played:
    """Play one call to its end and let what follows settle."""
    from django.utils import timezone

    from agents import presence

    queue = centre.ALONE_DIRECT if kind == "direct" else centre.ALONE_HELD
    talk, agent = (8.0 if ended_by == "caller" else None), centre.agent_key(queue, 0)
    phone = {"ring": centre.RING, "talk": 8.0 if ended_by == "agent" else None}
    send("PUT", f"{simulator}/_sim/phones/{centre.destination(queue, 0)}", phone)
    recorder.take()
    body = {"from": CALLER.format(queue), "to": centre.line(queue), "talk": talk}
    send("POST", f"{simulator}/_sim/calls", body)
    routing: list[Exchange] = []
    if kind == "held":
        _wait(lambda: _in_state("waiting", joined=True))
        freeing = Exchange("agent becomes available", time.time())
        with recorder.during(freeing):
            presence.change(agent, "available", at=timezone.now(), cause="bench")
        routing = [_routing_of(freeing)]
    _wait(lambda: _in_state("connected"))
    _wait(lambda: not _open_calls())
    time.sleep(1.5)  # the last webhooks, wrap-up and its sweep
    exchanges = [one for one in recorder.take() if one.label != "agent becomes available"]
    if kind == "held":
        presence.change(agent, "offline", at=timezone.now(), cause="bench")
    return Played(kind, ended_by, sorted([*exchanges, *routing], key=lambda one: one.at))


def _routing_of(freeing: Exchange) -> Exchange:
    """What the router did after the commit that freed the agent, as an exchange of its own."""
    steps = [step for step in freeing.steps if step.routing]
    return Exchange("routing", freeing.at, steps=steps)


def _open_calls() -> bool:
    from queues.models import QueuedCall

    return QueuedCall.objects.filter(ended_at=None).exists()


def _in_state(state: str, *, joined: bool = False) -> bool:
    from django.utils import timezone

    from queues.models import QueuedCall

    calls = QueuedCall.objects.filter(state=state)
    if joined:
        calls = calls.filter(offerable_from__lte=timezone.now(), events__kind="joined_room")
    return calls.exists()


def _wait(until: Callable[[], bool], seconds: float = 20) -> None:
    began = time.monotonic()
    while not until():
        if time.monotonic() - began > seconds:
            raise TimeoutError("the call that is played came to a standstill")
        time.sleep(0.02)


def rows(calls: list[Played]) -> list[Row]:
    """Return one line for each kind of call; the dearer of its two ends counts."""
    lines = []
    for kind, bar in BARS.items():
        ends = {one.ended_by: one for one in calls if one.kind == kind}
        most = max(ends.values(), key=lambda one: one.statements)
        lines.append(
            Row(
                f"4 SQL statements, {kind}",
                str(most.statements),
                f"<= {bar}",
                passed=most.statements <= bar,
                notes=[
                    f"{_EITHER[name]} hangs up: {one.statements} statements over "
                    f"{sum(e.webhook for e in one.counted)} webhooks"
                    f"{' and the POST task' if kind == 'held' else ''}; beside the bar (sweeps, "
                    f"questions to the provider): {sum(len(e.statements) for e in one.beside)}"
                    for name, one in ends.items()
                ],
            )
        )
    return lines


def listing(calls: list[Played]) -> str:
    """Set out every statement, by webhook."""
    text = []
    for call in calls:
        title = f"{call.kind} call, {call.ended_by} hangs up: {call.statements} statements"
        text += ["", title, "=" * len(title)]
        for one in call.counted:
            text.append(f"{one.label}: {len(one.statements)}")
            for number, step in enumerate(one.statements, start=1):
                mark = " (routing)" if step.routing else ""
                text.append(f"  {number:2}{mark} {_short(step.sql)}")
        if call.beside:
            beside = ", ".join(f"{one.label} {len(one.statements)}" for one in call.beside)
            text.append(f"not counted: {beside}")
    return "\n".join(text)


def _short(sql: str) -> str:
    """Cut the list of columns out of a statement."""
    words = " ".join(sql.replace('"', "").split())
    if words.startswith("SELECT") and " FROM " in words and len(words) > 120:
        head, _, tail = words.partition(" FROM ")
        words = f"{head[:24]}… FROM {tail}"
    return words[:230]
