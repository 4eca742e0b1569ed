"""Reads the simulator's ledger into a `Book`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

from tests.acceptance.ledger_book import QUICK, Book, Call, Charge, House, Leg, Offer

ASKING = ("ringing", "answered", "digits", "redirect")


@dataclass(frozen=True)
class Case:
    """A customer's leg, and those to the agents whose phones rang for it."""

    leg: Leg
    agents: list[Leg]
    queue: str | None
    queued: float | None
    house: House

    @property
    def is_inbound(self) -> bool:
        return bool(self.leg["kind"] == "inbound")

    @property
    def wrap_up(self) -> float:
        rules = self.house.queues.get(self.queue or "")
        return rules.wrap_up if rules else 0.0

    @property
    def doubt(self) -> float:
        """The longest that we took to hear of anything here."""
        took = [
            entry["ms"] / 1000
            for leg in (self.leg, *self.agents)
            for entry in leg["entries"]
            if entry["what"] == "post" and entry["edge"] in {*ASKING, "conference", "completed"}
        ]
        return max(QUICK, *took)


def read(ledger: dict[str, Any], house: House) -> Book:
    """Work out the day of this house; everything in it has ended."""
    lines = {rules.number for rules in house.queues.values()} | set(house.menus)
    customers, agents = list[Leg](), list[Leg]()
    for leg in ledger["legs"]:
        if leg["to"] in lines or leg["to"] in house.clicked:
            customers.append(leg)
        elif leg["kind"] != "inbound" and leg["to"] in house.agents:
            agents.append(leg)
    entered = {leg["session_id"]: _entered(leg, house) for leg in customers}
    of, guessed = _whose(agents, customers, entered, house)
    cases = [
        Case(
            leg, [one for one in agents if of[one["session_id"]] == leg["session_id"]],
            *entered[leg["session_id"]], house,
        )
        for leg in customers
    ]  # fmt: skip
    offers = [offer for case in cases for offer in _offers(case)]
    spans = {agent: _time(agent, offers, house) for agent in house.agents.values()}
    calls, charges, unsure = list[Call](), list[Charge](), set[str]()
    for case in cases:
        call = _call(case)
        mine = [one for one in guessed if case.queue in house.members[one["to"]]]
        calls.append(replace(call, is_sure=_is_sure(case, call, spans, mine)))
        if not calls[-1].is_sure:
            unsure |= {leg["session_id"] for leg in (case.leg, *case.agents)}
        charges += _charges(case, call)
    handles = {one["session_id"] for one in (*customers, *agents)}
    guesses = [(one["started_at"], house.agents[one["to"]]) for one in guessed]
    return Book(calls, offers, charges, spans, handles, unsure, guesses)


def _posts(leg: Leg) -> Iterator[tuple[float, Leg]]:
    """The questions for actions, each with about when it reached us."""
    for entry in leg["entries"]:
        if entry["what"] == "post" and entry["edge"] in ASKING:
            yield entry["at"] + entry["ms"] / 2000, entry


def _entered(leg: Leg, house: House) -> tuple[str | None, float | None]:
    """The queue that a caller was led to, and when they were let into it.

    A contact whom we called is in it from the answer on.
    """
    if leg["kind"] != "inbound":
        return house.clicked[leg["to"]].queue, next((at for at, _ in _posts(leg)), None)
    options = house.menus.get(leg["to"])
    posts = list(_posts(leg))
    if options is None:
        slug = next(slug for slug, one in house.queues.items() if one.number == leg["to"])
        turned_away = leg["ended_by"] in {"document", "exchange"} and not leg["bridges"]
        return slug, None if turned_away else posts[0][0]
    asked = [(at, entry) for at, entry in posts if entry["edge"] == "digits"]
    for turn, (at, entry) in enumerate(asked, 1):
        [key] = parse_qs(entry["sent"], keep_blank_values=True)["Digits"]
        if key in dict(options):
            return dict(options)[key], at
        if turn == house.tries:
            return options[0][1], at
    return None, None


def _whose(
    agents: list[Leg],
    callers: list[Leg],
    entered: dict[str, tuple[str | None, float | None]],
    house: House,
) -> tuple[dict[str, str], list[Leg]]:
    """For whom each agent's phone rang: by the dial, by the room, or by the place in line.

    And the legs of which only the place in line says it, where more than one stood there.
    """
    guessed = list[Leg]()
    rooms = {room["name"]: leg["session_id"] for leg in callers for room in leg["rooms"]}
    of: dict[str, str] = {}
    rung: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def give(leg: Leg, to: str) -> None:
        of[leg["session_id"]] = to
        rung[to].append((leg["started_at"], leg["ended_at"]))

    for leg in agents:
        met = [rooms[room["name"]] for room in leg["rooms"] if room["name"] in rooms]
        if leg["parent"]:
            give(leg, leg["parent"])
        elif met:
            give(leg, met[0])
    for leg in agents:
        if leg["session_id"] in of:
            continue
        at = leg["started_at"]
        waiting = list[tuple[float, float, str]]()  # of those who had left, the last one
        for caller in callers:
            handle = caller["session_id"]
            queue, queued = entered[handle]
            line = caller["to" if caller["kind"] == "inbound" else "from"]
            if (
                queued is not None and queued < at
                and line == leg["from"] and queue in house.members[leg["to"]]
                and not any(began < at < ended for began, ended in rung[handle])
                and not any(talk["began_at"] < at for talk in caller["bridges"])
            ):  # fmt: skip
                late = max(0.0, at - caller["ended_at"])
                waiting.append((late, caller["started_at"], handle))
        give(leg, min(waiting)[2])
        if sum(late == 0 for late, *_ in waiting) > 1:
            guessed.append(leg)
    return of, guessed


# --- One call ------------------------------------------------------------------------------------


def _call(case: Case) -> Call:
    leg = case.leg
    talk = leg["bridges"][0] if leg["bridges"] else None
    handle, customer, ended = leg["session_id"], leg["from"], (talk or leg)["ended_at"]
    if case.is_inbound:
        arrived = next(_posts(leg))[0]
    else:
        arrived, handle, *_ = case.house.clicked[leg["to"]]
        customer = leg["to"]
        if _end(case) == "failed" and case.agents:  # the contact hears an apology afterwards
            ended = case.agents[-1]["ended_at"]
    return Call(
        handle, case.queue, customer, arrived, case.queued,
        talk["began_at"] if talk else None, ended, _end(case),
        agent=case.house.agents[talk["with"]] if talk else "",
        wrap_up=case.wrap_up if talk else 0.0,
        cost=sum(one["cost_minor"] for one in (leg, *case.agents)),
        is_inbound=case.is_inbound, doubt=case.doubt,
    )  # fmt: skip


def _end(case: Case) -> str:
    """What became of a call: exactly one of ENDS."""
    leg = case.leg
    if leg["bridges"]:
        return "completed"
    if not case.is_inbound:
        if leg["answered_at"]:
            return "abandoned_ringing" if leg["ended_by"] == "phone" else "failed"
        return {"busy": "busy", "failed": "failed"}.get(leg["status"], "no_answer")
    if leg["ended_by"] != "phone":
        return "rejected" if case.queued is None else "expired"
    if case.queued is None:
        return "abandoned_menu"
    rings = any(one["started_at"] <= leg["ended_at"] <= one["ended_at"] for one in case.agents)
    return "abandoned_ringing" if rings else "abandoned_queue"


def _is_sure(
    case: Case, call: Call, spans: dict[str, list[tuple[float, float, str]]], guessed: list[Leg]
) -> bool:
    """Whether no agent came, went or got free at the very moment at which a caller left."""
    leg = case.leg
    if call.connected is not None:
        return call.ended - call.connected > case.doubt
    if leg["ended_by"] != "phone" or case.queued is None:
        return True
    gone, moments = leg["ended_at"], [case.queued, *(room["entered_at"] for room in leg["rooms"])]
    for destination, agent in case.house.agents.items():
        if case.queue in case.house.members[destination]:
            idle = (start for start, _, state in spans[agent] if state == "available_idle")
            moments += [start for start in idle if start < gone]  # not: because the caller left
    for one in case.agents:
        # Came into the room as the caller left it; or the two legs of a dial ended at once.
        if one["rooms"] or (one["kind"] == "dial" and one["end_cause"] == "originator_cancel"):
            return False
        moments += [one["started_at"], *([one["answered_at"]] if one["answered_at"] else [])]
        moments += [one["ended_at"]] if one["ended_at"] < gone else []
    if any(one["started_at"] - case.doubt < gone < one["ended_at"] + case.doubt for one in guessed):
        return False
    return min(abs(gone - moment) for moment in moments) > case.doubt


def _charges(case: Case, call: Call) -> Iterator[Charge]:
    for leg in (case.leg, *case.agents):
        is_agent = leg is not case.leg
        party = leg["to"] if is_agent else call.customer
        yield Charge(
            call.counted, case.queue, "agent" if is_agent else "customer",
            "sip" if party.startswith(("sip:", "sips:")) else "pstn", leg["cost_minor"],
            case.is_inbound,
        )  # fmt: skip


# --- Agents --------------------------------------------------------------------------------------


def _offers(case: Case) -> Iterator[Offer]:
    """The offers of one call; a click to call is one, though the contact may never answer."""
    leg, house = case.leg, case.house
    if not case.is_inbound and not case.agents:
        yield Offer(
            house.clicked[leg["to"]].agent, case.queue, house.clicked[leg["to"]].at, None, None,
            leg["ended_at"], "caller_gone", 0.0, case.doubt,
        )  # fmt: skip
    for one in case.agents:
        made = one["started_at"]
        if not case.is_inbound:
            made = house.clicked[leg["to"]].at
        elif one["kind"] == "dial":  # decided when the document was asked for
            made = max(at for at, _ in _posts(leg) if at < made)
        talk = one["bridges"][0] if one["bridges"] else None
        yield Offer(
            house.agents[one["to"]], case.queue, made, one["answered_at"],
            talk["began_at"] if talk else None, (talk or one)["ended_at"], _outcome(one, leg),
            case.wrap_up if talk else 0.0, case.doubt,
        )  # fmt: skip


def _outcome(leg: Leg, caller: Leg) -> str:
    """How an agent's leg ended."""
    if leg["bridges"]:
        return "ended"
    if caller["ended_at"] <= leg["ended_at"] and caller["ended_by"] == "phone":
        return "caller_gone"
    if leg["answered_at"]:
        keys = [one["digits"] for one in leg["entries"] if one["what"] == "digits"]
        return "declined" if any(keys) else "no_keypress"
    return {"busy": "busy", "failed": "failed"}.get(leg["status"], "no_answer")


def _time(agent: str, offers: list[Offer], house: House) -> list[tuple[float, float, str]]:
    """How an agent's time went: what they did; where nothing, what they had asked to be."""
    busy = []
    for offer in (one for one in offers if one.agent == agent):
        busy.append((offer.made, offer.began or offer.ended, "ringing"))
        if offer.began:
            busy.append((offer.began, offer.ended, "on_call"))
            busy.append((offer.ended, offer.ended + offer.wrap_up, "wrap_up"))
    told = sorted((at, what) for at, who, what in house.presence if who == agent)
    ends = [at for at, _ in told[1:]] + [house.closed_at]
    free = {"available": "available_idle", "break": "break_paid", "unpaid": "break_unpaid"}
    spans = sorted(busy)
    for (start, what), end in zip(told, ends, strict=True):
        if what in free:
            spans += _gaps(start, end, sorted(busy), free[what])
    return sorted(spans)


def _gaps(
    start: float, end: float, busy: list[tuple[float, float, str]], state: str
) -> Iterator[tuple[float, float, str]]:
    """What is left of a stretch beside what is done in it."""
    for began, ended, _ in busy:
        if ended <= start or began >= end:
            continue
        if began > start:
            yield start, began, state
        start = max(start, ended)
    if end > start:
        yield start, end, state
