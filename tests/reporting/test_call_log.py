"""The call log: what is meant by what is typed, pages that do not count, and kind refusals."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from callcenter.ids import new_id
from queues.models import (
    CallEvent,
    Contact,
    Disposition,
    Leg,
    Offer,
    QueuedCall,
    Recording,
    WrapUp,
)
from reporting import call_log, typed
from tests.factories import T0, make_agent, make_queue, make_supervisor

NAIROBI = ZoneInfo("Africa/Nairobi")


def make_call(customer: str = "+254722000184", *, ago: float = 0, **values: object) -> QueuedCall:
    """A call that was abandoned after a minute, unless `values` say otherwise."""
    pk, arrived = new_id(), T0 - timedelta(seconds=ago)
    row: dict[str, object] = {
        "pk": pk, "public_id": str(pk), "direction": "inbound", "state": "abandoned",
        "abandoned_in": "queue", "customer": customer, "line": "+254200000101",
        "arrived_at": arrived, "queued_at": arrived, "ended_at": arrived + timedelta(seconds=60),
    }  # fmt: skip
    return QueuedCall.objects.create(**row | values)


def talked(agent: object, *, wait: float = 5, talk: float = 30, **values: Any) -> QueuedCall:
    connected = T0 + timedelta(seconds=wait)
    return make_call(
        state="completed", abandoned_in="", agent=agent, connected_at=connected,
        ended_at=connected + timedelta(seconds=talk), **values,
    )  # fmt: skip


def ask(**query: str) -> tuple[call_log.Asked, list[QueuedCall]]:
    asked, calls = call_log.ask(query, call_log.choices(), at=T0, zone=NAIROBI)
    return asked, list(calls.order_by("-arrived_at", "-pk"))


def found(**query: str) -> list[QueuedCall]:
    return ask(**query)[1]


# --- What is typed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant", "is_told"),
    [
        ("2026-11-22", date(2026, 11, 22), False),
        ("22.11.2026", date(2026, 11, 22), False),
        ("22/11/2026", date(2026, 11, 22), False),
        ("2026-02-30", date(2026, 2, 28), True),
        ("2028-02-30", date(2028, 2, 29), True),
        ("2026-13-41", date(2026, 12, 31), True),
        ("0001-01-01", date(2000, 1, 1), True),
        ("9999-12-31", date(2100, 12, 31), True),
        ("0000-00-00", date(2000, 1, 1), True),
        ("yesterday", None, True),
        ("٢٠٢٦-١١-٢٢", date(2026, 11, 22), False),  # noqa: RUF001 - digits of Arabic
    ],
)
def test_a_day_is_read_and_an_impossible_one_becomes_the_nearest(
    text: str, meant: date | None, is_told: bool
) -> None:
    day, problem = typed.day(text)
    assert day == meant
    assert bool(problem) == is_told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1:30", 90), ("1:02:03", 3723), ("2 min", 120), ("2m", 120), ("0", 0),
     ("90s", 90), ("-5", None), ("soon", None), ("1:", None), ("9" * 30, None)],
)  # fmt: skip
def test_a_span_is_read(text: str, seconds: int | None) -> None:
    span, problem = typed.span(text)
    assert span == (None if seconds is None else timedelta(seconds=seconds))
    assert bool(problem) == (seconds is None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        "+254722000184", "0722000184", "0722 000 184", "254722000184", "722000184",
        "00254722000184",
        "000184", "184", "0722", "+2547220", "00254722", "25472", "Wanjiru", "wanjiru traders",
    ],
)  # fmt: skip
def test_a_number_is_found_in_any_usual_form(text: str) -> None:
    Contact.objects.create(number="+254722000184", name="Wanjiru Traders")
    wanted, _other = make_call(), make_call("+254733111222")
    assert found(number=text) == [wanted]


@pytest.mark.django_db
def test_other_customers_are_found_too() -> None:
    sip, nobody = make_call("sip:front@hotel.example"), make_call("anonymous")
    make_call()
    assert found(number="front@hotel") == [sip]
    assert found(number="sip:front") == [sip]
    assert found(number="anonymous") == [nobody]
    assert found(number="Private") == [nobody]


@pytest.mark.django_db
def test_the_index_of_last_digits_and_that_of_beginnings_are_used() -> None:
    calls, _problem = typed.customers(QueuedCall.objects.all(), "0722")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        sql, values = calls.order_by().query.sql_with_params()
        cursor.execute(f"EXPLAIN {sql}", values)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "calls_by_last_digits" in plan
    assert "calls_by_number" in plan


# --- What is meant -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_calls_are_narrowed_by_queue_agent_status_and_direction() -> None:
    support, billing = make_queue(), make_queue("billing", number=None)
    amina = make_agent(support, username="amina")
    done = talked(amina, queue=support)
    lost = make_call(queue=billing)
    out = make_call(direction="outbound", state="no_answer", abandoned_in="")
    live = make_call(state="greeting", abandoned_in="", ended_at=None)
    assert found(queue="support") == [done]
    assert found(agent="amina") == [done]
    assert found(status="abandoned") == [lost]
    assert found(status="open") == [live]
    assert found(direction="outbound") == [out]
    assert found(queue="support", status="abandoned") == []


@pytest.mark.django_db
def test_days_are_those_of_who_looks_and_both_are_included() -> None:
    """T0 is 8:00 in London's winter and 11:00 in Nairobi, on the 20th."""
    early = make_call(ago=11 * 3600 + 60)  # 23:59 of the 19th in Nairobi
    first = make_call(ago=11 * 3600)  # midnight
    last = make_call(ago=-(13 * 3600 - 1))  # 23:59:59 of the 20th
    make_call(ago=-13 * 3600)
    assert found(**{"from": "2026-11-20", "to": "2026-11-20"}) == [last, first]
    assert found(to="2026-11-19") == [early]
    asked, calls = ask(**{"from": "2026-11-20", "to": "2026-11-19"})
    assert calls == [last, first, early]
    assert "taken in order" in asked.problems["to"]


@pytest.mark.django_db
def test_calls_are_narrowed_by_how_long_was_waited_and_talked() -> None:
    amina = make_agent()
    quick, slow = talked(amina, wait=5, talk=90), talked(amina, wait=90, talk=89)
    lost = make_call()  # after 60 s
    waits = make_call(state="waiting", abandoned_in="", ended_at=None, ago=75, queue=make_queue())
    assert set(found(wait="1:00")) == {slow, lost, waits}
    assert set(found(wait="61")) == {slow, waits}
    assert found(talk="1:30") == [quick]
    assert len(found(wait="0")) == 4


@pytest.mark.django_db
def test_calls_are_narrowed_by_what_they_came_to() -> None:
    amina = make_agent()
    group = Disposition.objects.create(label="Order")
    placed = Disposition.objects.create(label="Placed", parent=group)
    done, bare = talked(amina), talked(amina)
    make_call()
    for call in (done, bare):
        made = Offer.objects.create(
            call=call, agent=amina, kind="room", state="ended", created_at=T0,
            ring_until=T0, joined_at=T0, ended_at=T0,
        )  # fmt: skip
        WrapUp.objects.create(
            offer=made, disposition=placed if call == done else None, updated_at=T0
        )
    assert found(disposition=str(placed.pk)) == [done]
    assert found(disposition=str(group.pk)) == [done]
    assert found(disposition="none") == [bare]


@pytest.mark.django_db
def test_calls_are_narrowed_to_those_with_a_recording_and_those_told_late() -> None:
    taped, asked_for, recovered, corrected = (make_call() for _ in range(4))
    for call, state in ((taped, "stored"), (asked_for, "missing")):
        leg = Leg.objects.create(call=call, role="customer", state="ended", party="x", line="y",
                                 planned_at=T0, ended_at=T0)  # fmt: skip
        path = "a.wav" if state == "stored" else ""
        Recording.objects.create(
            call=call, leg=leg, state=state, created_at=T0, path=path, stored_at=T0, remove_at=T0
        )
    CallEvent.objects.create(call=recovered, kind="abandoned", at=T0, detail={"recovered": True})
    CallEvent.objects.create(call=corrected, kind="corrected", at=T0)
    CallEvent.objects.create(call=taped, kind="arrived", at=T0)
    assert found(recorded="1") == [taped]
    assert set(found(corrected="1")) == {recovered, corrected}


# --- Pages ---------------------------------------------------------------------------------------


def turn(**beside: object) -> call_log.Page:
    return call_log.page(QueuedCall.objects.all(), at=T0, **beside)[0]  # type: ignore[arg-type]


@pytest.mark.django_db
@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_follow_each_other_without_gap_or_repeat(oldest_first: bool) -> None:
    # three a second: some of a page's last calls arrived together with the next one's first
    made = [make_call(ago=n // 3) for n in range(120)]
    order = sorted(made, key=lambda call: (call.arrived_at, call.pk), reverse=not oldest_first)
    on = "newer" if oldest_first else "older"
    back = "older" if oldest_first else "newer"
    page, seen, pages = turn(oldest_first=oldest_first), [], []
    assert getattr(page, back) == ""
    while True:
        seen += page.calls
        pages.append(page)
        if not getattr(page, on):
            break
        page = turn(oldest_first=oldest_first, **{f"{on}_than": getattr(page, on)})
    assert seen == order
    assert [len(page.calls) for page in pages] == [50, 50, 20]
    again = turn(oldest_first=oldest_first, **{f"{back}_than": getattr(pages[2], back)})
    assert again.calls == pages[1].calls
    # The first page is whole, also when it is come to from behind.
    first = turn(oldest_first=oldest_first, **{f"{back}_than": pages[0].calls[30].public_id})
    assert first.calls == pages[0].calls


@pytest.mark.django_db
def test_a_page_beside_an_unknown_call_is_the_first() -> None:
    make_call()
    assert len(turn(older_than="nothing-like-it").calls) == 1


@pytest.mark.django_db
def test_counting_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_log, "MOST_COUNTED", 3)
    for n in range(3):
        make_call(ago=n)
    assert (turn().count, turn().is_capped) == (3, False)
    make_call()
    assert (turn().count, turn().is_capped) == (3, True)


@pytest.mark.django_db
def test_a_search_that_takes_too_long_is_made_over_the_last_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = make_call(ago=8 * 86_400), make_call(ago=6 * 86_400)
    monkeypatch.setattr(call_log, "PATIENCE_MS", 300)
    looks_long_at = "CASE WHEN queues_queuedcall.id = %s THEN pg_sleep(5) IS NOT NULL ELSE true END"
    slow = QueuedCall.objects.extra(where=[looks_long_at], params=[old.pk])
    page, told = call_log.page(slow, at=T0)
    assert page.calls == [new]
    assert "last 7 days" in told
    slow = QueuedCall.objects.extra(where=[looks_long_at], params=[new.pk])
    page, told = call_log.page(slow, at=T0)
    assert page.calls == []
    assert "Choose fewer days" in told
    assert QueuedCall.objects.filter(pk=old.pk).exists()  # and the connection is whole


# --- The page ------------------------------------------------------------------------------------


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(make_supervisor())
    return client


def html(client: Client, **query: str) -> str:
    answer = client.get(f"/calls-log/?{urlencode(query)}")
    assert answer.status_code == 200
    return answer.content.decode()


def problems(text: str) -> dict[str, str]:
    return dict(re.findall(r'data-testid="problem-(\w+)">([^<]*)<', text))


@pytest.mark.django_db
def test_bad_input_is_told_at_the_field_and_kept(client: Client) -> None:
    make_queue()
    make_call()
    query = {
        "number": "0722x", "queue": "suport", "agent": "nobody", "status": "lost",
        "from": "2026-02-30", "to": "soon", "wait": "-5", "disposition": "77",
        "direction": "sideways",
    }  # fmt: skip
    text = html(client, **query)
    told = problems(text)
    assert sorted(told) == sorted(query)
    assert told["queue"] == "“suport” is not one of the choices. The nearest is taken: Support."
    assert told["from"] == "That day is not in the calendar; 28 February 2026 is taken."
    for name in ("number", "from", "to", "wait"):
        assert re.search(rf'name="{name}" value="{query[name]}"', text)
    for name in ("queue", "agent", "status", "disposition", "direction"):
        assert f'<option value="{query[name]}" selected>' in text
    assert "<details open>" in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    "value", ["\x00", "'; DROP TABLE x", "%", "_", "\\", "٣٣", "🦒", "9" * 500, "<b>", "{x}", "0"]
)
def test_no_input_is_an_error(client: Client, value: str) -> None:
    make_call()
    names = [*call_log.FIELDS, "order", "older", "newer"]
    text = html(client, **dict.fromkeys(names, value))
    assert "<b>" not in text.partition("filters")[2].partition("</form>")[0]


@pytest.mark.django_db
def test_filters_in_use_are_chips_that_take_themselves_away(client: Client) -> None:
    make_queue()
    text = html(client, queue="support", number="0722000184", recorded="1", older="x", wait="")
    chips = re.findall(r'<li><a href="([^"]*)"><span>(.*?)</span>', text)
    assert [(re.sub("<[^>]+>", "", words), address) for address, words in chips] == [
        ("Customer: 0722000184", "?queue=support&amp;recorded=1"),
        ("Queue: Support", "?number=0722000184&amp;recorded=1"),
        ("With a recording", "?queue=support&amp;number=0722000184"),
    ]
    assert "No call matches." in text


@pytest.mark.django_db
def test_a_page_of_calls_costs_the_same_however_many_there_are(client: Client) -> None:
    amina = make_agent(make_queue())
    for n in range(3):
        talked(amina, ago=n)
    with CaptureQueriesContext(
        connection,
    ) as few:
        html(client)
    for n in range(60):
        talked(amina, ago=n)
    with CaptureQueriesContext(connection) as many:
        html(client)
    assert len(few) == len(many)
    assert len(many) <= 18


@pytest.mark.django_db
def test_a_call_leads_to_the_calls_before_and_after_of_the_same_number(client: Client) -> None:
    first, second, third = (make_call(ago=ago) for ago in (30, 20, 10))
    make_call("+254733111222", ago=15)
    text = client.get(f"/calls-log/{second.public_id}/").content.decode()
    assert re.search(rf'href="/calls-log/{first.public_id}/" data-testid="call-before"', text)
    assert re.search(rf'href="/calls-log/{third.public_id}/" data-testid="call-after"', text)
    nobody = make_call("anonymous")
    make_call("anonymous", ago=5)
    text = client.get(f"/calls-log/{nobody.public_id}/").content.decode()
    assert "call-before" not in text


@pytest.mark.django_db
def test_days_follow_the_zone_that_is_active(client: Client) -> None:
    call = make_call(ago=11 * 3600 + 60)
    with timezone.override(NAIROBI):
        assert call.public_id in html(client, **{"from": "2026-11-19", "to": "2026-11-19"})
