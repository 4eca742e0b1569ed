"""The picture of a call: spans, ticks and marks worked out by hand."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from queues.models import CallEvent, Leg, Offer, QueuedCall, Supervision
from reporting import picture
from tests.factories import T0

LATER = T0 + timedelta(hours=1)


def after(seconds: float) -> Any:
    return T0 + timedelta(seconds=seconds)


def call(**values: object) -> QueuedCall:
    queue = SimpleNamespace(greeting="Welcome to support!!", hold_message="", say_position=False)
    row = {
        "direction": "inbound", "arrived_at": T0, "queued_at": T0, "ended_at": None,
        "menu_id": None, "connected_at": None, "queue": queue,
        "is_inbound": values.get("direction") != "outbound",
    }  # fmt: skip
    return cast(QueuedCall, SimpleNamespace(**row | values))


def event(at: float, kind: str, /, **detail: object) -> CallEvent:
    return CallEvent(kind=kind, at=after(at), detail=detail)


def offer(at: float, state: str = "ended", **times: float) -> Offer:
    named = {f"{name}_at": after(seconds) for name, seconds in times.items()}
    made: dict[str, Any] = {
        "answered_at": None, "conference_at": None, "joined_at": None, "ended_at": None,
        "wrap_up_ended_at": None, "created_at": after(at), "state": state, "pk": at,
        "agent": SimpleNamespace(name="Amina"),
    }  # fmt: skip
    return cast(Offer, SimpleNamespace(**made | named))


def leg(at: float = 0, *, ended: float | None, answered: float | None = None, **more: Any) -> Leg:
    return Leg(
        role=more.pop("role", "customer"), party="+254700000111", planned_at=after(at),
        answered_at=None if answered is None else after(answered),
        ended_at=None if ended is None else after(ended),
        state="answered" if ended is None else "ended", **more,
    )  # fmt: skip


def told(spans: list[picture.Span]) -> list[tuple[str, float, float | None]]:
    """Spans in seconds from T0."""
    return [
        (kind, (since - T0).total_seconds(), (until - T0).total_seconds() if until else None)
        for kind, since, until in spans
    ]


def drawn(row: picture.Row) -> list[tuple[str, float, float]]:
    return [(bar.kind, bar.start, bar.end) for bar in row.bars]


# --- The axis ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "step"),
    [(1, 1), (6, 1), (7, 2), (29, 5), (60, 10), (61, 15), (180, 30), (181, 60), (720, 120),
     (3600, 600), (14_400, 3600)],
)  # fmt: skip
def test_ticks_stand_at_sensible_times(seconds: float, step: int) -> None:
    assert picture.step(seconds) == step
    assert len(picture.ticks(seconds)) <= 7


def test_ticks_are_percents_of_the_axis() -> None:
    assert [(tick.at, tick.left) for tick in picture.ticks(200)] == [
        (0, 0), (60, 30), (120, 60), (180, 90),
    ]  # fmt: skip


def test_the_axis_of_a_live_call_has_room_to_grow() -> None:
    assert picture.axis(201, is_live=False) == 201
    assert picture.axis(0, is_live=False) == 1  # never empty
    assert picture.axis(0, is_live=True) == 10
    # 100 s and a tenth: 110 s, ticks every 30 s, so up to 120 s
    assert picture.axis(100, is_live=True) == 120


# --- What the customer heard ---------------------------------------------------------------------


def test_a_direct_dial_is_greeting_ringing_and_talk() -> None:
    row = call(connected_at=after(9), ended_at=after(60))
    events = [event(0, "arrived"), event(0, "offered", kind="direct"), event(9, "connected")]
    # 20 characters are two seconds
    assert told(picture.heard(row, events)) == [
        ("greeting", 0, 2), ("tone", 2, 9), ("talk", 9, 60),
    ]  # fmt: skip


def test_who_is_not_answered_hears_the_message_and_then_music() -> None:
    row = call(ended_at=after(60))
    row.queue.hold_message, row.queue.say_position = "Please hold the line.", True  # type: ignore[union-attr]
    events = [
        event(0, "offered", kind="direct"), event(20, "offer_no_answer"), event(20, "back_in_line"),
        event(20, "holding"), event(22, "joined_room"), event(30, "offered", kind="room"),
    ]  # fmt: skip
    # 21 characters, 2.1 s, and two seconds for the place in line
    assert told(picture.heard(row, events)) == [
        ("greeting", 0, 2), ("tone", 2, 20), ("message", 20, 24.1), ("music", 24.1, 60),
    ]  # fmt: skip


def test_laps_of_music_are_told_apart() -> None:
    row = call()
    row.queue.hold_message = "Please hold the line."  # type: ignore[union-attr]
    events = [event(0, "holding"), event(15, "holding"), event(30, "holding")]
    assert told(picture.heard(row, events)) == [
        ("message", 0, 2.1), ("music", 2.1, 15), ("music", 15, 30), ("music", 30, None),
    ]  # fmt: skip


def test_a_message_that_was_cut_short_is_not_followed_by_music() -> None:
    row = call(connected_at=after(21), ended_at=after(60))
    row.queue.hold_message = "x" * 100  # type: ignore[union-attr]
    events = [event(20, "holding"), event(24, "connected")]  # from 21 on, it was told at 24
    assert told(picture.heard(row, events)) == [("message", 20, 21), ("talk", 21, 60)]


def test_a_menu_comes_first_and_a_talk_that_was_taken_back_is_not_drawn() -> None:
    row = call(menu_id=1, ended_at=after(40))
    events = [event(5, "key_pressed"), event(6, "holding"), event(20, "connected")]
    assert told(picture.heard(row, events)) == [("menu", 0, 6), ("music", 6, 40)]


def test_nothing_is_heard_by_who_was_turned_away() -> None:
    assert picture.heard(call(ended_at=after(1), queued_at=None), [event(0, "arrived")]) == []


# --- The rows ------------------------------------------------------------------------------------


def draw(row: QueuedCall, **rows: Any) -> picture.Picture:
    known: dict[str, Any] = {"events": [], "offers": [], "legs": [], "at": LATER}
    return picture.draw(row, **known | rows)


def test_rows_are_placed_on_the_axis() -> None:
    """A call of 200 s: held from 0, offered at 100, picked up at 110, joined at 120."""
    row = call(connected_at=after(120), ended_at=after(200))
    shown = draw(
        row,
        events=[event(0, "holding"), event(4, "joined_room"), event(120, "connected")],
        offers=[offer(20, "no_answer", ended=40), offer(100, answered=110, joined=120, ended=200)],
        legs=[leg(ended=200)],
    )
    assert shown.seconds == 200
    assert [row.who for row in shown.rows] == ["caller", "customer", "agent", "agent"]
    assert drawn(shown.rows[0]) == [("music", 0, 120), ("talk", 120, 200)]
    assert drawn(shown.rows[1]) == [("up", 0, 4), ("room", 4, 200)]
    assert drawn(shown.rows[2]) == [("ringing", 20, 40)]
    assert drawn(shown.rows[3]) == [("ringing", 100, 110), ("answered", 110, 120),
                                    ("talk", 120, 200)]  # fmt: skip
    assert shown.kinds == ["music", "talk", "up", "room", "ringing", "answered"]
    talk = shown.rows[3].bars[2]
    assert (talk.left, talk.width, talk.fits, talk.is_open) == (60, 40, "wide", False)
    assert [row.top for row in shown.rows] == [0, 46, 92, 138]
    assert (shown.marks_top, shown.height) == (184, 252)


def test_a_live_call_goes_on_until_now_on_an_axis_that_is_longer() -> None:
    shown = draw(
        call(connected_at=after(10)),
        events=[event(0, "offered", kind="direct"), event(10, "connected")],
        offers=[offer(0, "joined", joined=10)],
        legs=[leg(ended=None, answered=0)],
        at=after(100),
    )
    assert (shown.is_live, shown.seconds) == (True, 120)
    assert drawn(shown.rows[2]) == [("ringing", 0, 10), ("talk", 10, 100)]
    assert [bar.is_open for bar in shown.rows[2].bars] == [False, True]
    assert shown.rows[2].bars[1].width == 75.0  # 90 of 120 s


def test_a_reserved_agent_is_rung_when_the_contact_has_answered() -> None:
    row = call(direction="outbound", queued_at=after(12), ended_at=after(50))
    shown = draw(row, offers=[offer(0, "no_answer", ended=32)], legs=[leg(ended=50)])
    assert drawn(shown.rows[-1]) == [("reserved", 0, 12), ("ringing", 12, 32)]
    waiting = call(direction="outbound", queued_at=None)
    shown = draw(waiting, offers=[offer(0, "dialling")], at=after(8))
    assert drawn(shown.rows[-1]) == [("reserved", 0, 8)]


def test_a_leg_that_outlived_its_offer_is_seen_and_wrap_up_too() -> None:
    made = offer(0, "no_answer", ended=20)
    late = leg(0, ended=29, role="agent", offer_id=made.pk)
    shown = draw(call(ended_at=after(60)), offers=[made], legs=[late])
    assert drawn(shown.rows[-1]) == [("ringing", 0, 20), ("outlived", 20, 29)]
    talk = offer(0, joined=5, ended=60, wrap_up_ended=90)
    shown = draw(call(connected_at=after(5), ended_at=after(60)), offers=[talk])
    assert drawn(shown.rows[-1]) == [("ringing", 0, 5), ("talk", 5, 60), ("wrap_up", 60, 90)]
    assert shown.seconds == 90


def test_a_supervisor_is_drawn_in_each_mode() -> None:
    one = Supervision(
        mode="barge", phone="+254711000001", created_at=after(10), connected_at=after(14),
        ended_at=after(50), state="ended",
    )  # fmt: skip
    events = [event(14, "listening_started", mode="listen"),
              event(30, "listening_changed", mode="barge")]  # fmt: skip
    shown = draw(call(ended_at=after(60)), supervisions=[one], events=events)
    assert (shown.rows[-1].who, shown.rows[-1].name) == ("supervisor", "+254711000001")
    assert drawn(shown.rows[-1]) == [("ringing", 10, 14), ("listen", 14, 30), ("barge", 30, 50)]


def test_a_short_stretch_of_a_long_call_can_be_seen() -> None:
    shown = draw(call(ended_at=after(3600)), offers=[offer(3599, "caller_gone", ended=3600)])
    (bar,) = shown.rows[-1].bars
    assert (bar.left, bar.width, bar.fits) == (99.4, 0.6, "")


def test_a_leg_without_an_end_does_not_stretch_a_call_of_yesterday() -> None:
    shown = draw(call(ended_at=after(30)), legs=[leg(ended=None)])
    assert shown.seconds == 90  # a minute beyond the end


def test_marks_too_close_together_become_one_and_late_ones_stay_inside() -> None:
    events = [event(0, "arrived"), event(1, "holding"), event(3, "joined_room"),
              event(500, "corrected")]  # fmt: skip
    shown = draw(call(ended_at=after(100)), events=events)
    # 2.5 % are 2.5 s: the first two are one
    assert [(mark.at, mark.left, len(mark.events)) for mark in shown.marks] == [
        (0, 0, 2), (3, 3, 1), (500, 100, 1),
    ]  # fmt: skip


def test_more_offers_than_can_be_drawn_are_counted() -> None:
    offers = [offer(n, "no_answer", ended=n + 1) for n in range(30)]
    shown = draw(call(ended_at=after(100)), offers=offers)
    assert (len([row for row in shown.rows if row.who == "agent"]), shown.more) == (24, 6)
