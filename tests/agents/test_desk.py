"""The agent's desk, request by request: what it shows, and what an action answers."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import (
    Agent,
    BreakReason,
    Heartbeat,
    Notice,
    NoticeRecipient,
    Preferences,
    PresencePeriod,
)
from agents.views import caller
from queues.models import Alert, Contact, Disposition, Offer, Queue, QueuedCall, WrapUp
from tests.pages import made_up

pytestmark = pytest.mark.django_db
HX = {"HX-Request": "true"}
NUMBER = "+254722418377"


@pytest.fixture
def amina() -> Client:
    made_up.centre()
    BreakReason.objects.all().delete()
    Disposition.objects.filter(parent__isnull=False).delete()
    Disposition.objects.all().delete()
    client = Client()
    client.force_login(User.objects.get(username="amina"))
    return client


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def page(client: Client, address: str = "/agent/state/", **sent: str) -> str:
    answer = client.get(address, sent)
    assert answer.status_code == 200
    return answer.content.decode()


def do(client: Client, address: str, **sent: object) -> str:
    answer = client.post(f"/agent/{address}/", sent, headers=HX)
    assert answer.status_code == 200
    return answer.content.decode()


def part(html: str, name: str) -> str:
    """The words of one part of the desk, found by its test id."""
    found = re.search(rf'data-testid="{name}".*?</(?:section|p|fieldset)>', html, re.DOTALL)
    return words("<" + found[0]) if found else ""


def ringing(kind: str = "room") -> Offer:
    agent = made_up.put("amina", "ringing")
    row = made_up.call("support", "offered", ago=38, customer=NUMBER)
    return made_up.offer(row, agent, "ringing", ago=4, kind=kind)


def talking() -> Offer:
    agent = made_up.put("amina", "on_call", since=61)
    row = made_up.call("support", "connected", ago=70, waited=9, customer=NUMBER, agent=agent)
    return made_up.offer(row, agent, "joined", ago=66, answered=61)


def wrapping_up() -> Offer:
    until = timezone.now() + timedelta(seconds=30)
    agent = made_up.put("amina", "wrap_up", wrap_up_until=until)
    row = made_up.call("support", "completed", ago=70, waited=9, talked=50, customer=NUMBER,
                       agent=agent)  # fmt: skip
    return made_up.offer(row, agent, "ended", ago=66, answered=61, until=11)


def dispositions() -> dict[str, Disposition]:
    support = Queue.objects.get(slug="support")
    order = Disposition.objects.create(label="Order", position=1, queue=support)
    rows = [
        order,
        Disposition.objects.create(label="Placed", parent=order, position=1, queue=support),
        Disposition.objects.create(label="Changed", parent=order, position=2, queue=support),
        Disposition.objects.create(label="Wrong number", position=2),
    ]
    return {row.label: row for row in rows}


# --- Availability --------------------------------------------------------------------------------


def test_the_reasons_for_a_break_say_whether_they_are_paid_and_their_limit(amina: Client) -> None:
    BreakReason.objects.create(name="Lunch", is_paid=False, limit_minutes=45, position=1)
    BreakReason.objects.create(name="Training", position=2)
    html = page(amina)
    assert "Lunch unpaid · at most 45 min 1 Training paid 2" in words(html)
    html = do(amina, "presence", presence="break", reason="Lunch")
    assert "Break: Lunch" in words(html)
    assert re.search(
        r"Lunch · unpaid · at most 45 min\. No calls come to you\. For 0:0\d left 4[45]:",
        words(html),
    )


def test_a_break_that_is_over_its_limit_says_by_how_much(amina: Client) -> None:
    BreakReason.objects.create(name="Lunch", is_paid=False, limit_minutes=45)
    agent = made_up.put("amina", presence="break", presence_reason="Lunch", since=47 * 60)
    limit_at = timezone.now() - timedelta(minutes=2)
    PresencePeriod.objects.filter(agent=agent, ended_at=None).update(
        limit_at=limit_at, is_paid=False
    )
    shown = words(page(amina))
    assert "Your break is over its limit" in shown
    assert "For 47:00 over by 2:00" in shown


def test_on_a_call_the_desk_says_what_comes_after(amina: Client) -> None:
    BreakReason.objects.create(name="Lunch", is_paid=False, limit_minutes=45)
    talking()
    html = do(amina, "presence", presence="break", reason="Lunch")
    assert "After this call: Lunch (unpaid, at most 45 min). No further call comes to you." in (
        words(html)
    )


# --- A call that is offered ----------------------------------------------------------------------


def test_an_offer_says_who_calls_how_often_and_what_it_came_to(amina: Client) -> None:
    Contact.objects.create(number=NUMBER, name="Wanjiru Traders")
    brian = Agent.objects.get(user__username="brian")
    before = made_up.call("billing", "completed", ago=130, waited=5, talked=100, customer=NUMBER,
                          agent=brian)  # fmt: skip
    made = made_up.offer(before, brian, "ended", ago=129, answered=125, until=25)
    WrapUp.objects.create(
        offer=made, disposition=Disposition.objects.create(label="Invoice sent"),
        notes="Wants it on paper too.", updated_at=timezone.now(),
    )  # fmt: skip
    ringing()
    html = page(amina)
    assert "Ringing Wanjiru Traders +254722418377 · Support Called once this month" in words(html)
    assert re.search(r"Answer your phone\. Has waited 0:3\d", words(html))
    assert "Billing · Brian Otieno · Invoice sent Wants it on paper too." in words(html)
    assert 'data-title="● Ringing – Support"' in html
    assert "data-rings" in html


def test_the_history_of_a_caller_is_one_query(amina: Client) -> None:
    for ago in (900, 1900, 2900, 3900, 4900, 5900):
        made_up.call("support", "abandoned", ago=ago, customer=NUMBER, abandoned_in="queue")
    call = ringing().call
    with CaptureQueriesContext(
        connection,
    ) as asked:
        found = caller.history(call, at=timezone.now())
        assert found is not None
        assert [one.queue.name for one in found["calls"]] == ["Support"] * 4
    assert len(asked) == 1


def test_a_withheld_number_has_no_history(amina: Client) -> None:
    made_up.call("support", "abandoned", ago=900, customer="anonymous", abandoned_in="queue")
    offer = ringing()
    QueuedCall.objects.filter(pk=offer.call_id).update(customer="anonymous")
    assert "The number is withheld." in part(page(amina), "caller")


def test_only_a_call_into_the_room_can_be_declined(amina: Client) -> None:
    offer = ringing("direct")
    assert 'data-testid="decline"' not in page(amina)
    Offer.objects.filter(pk=offer.pk).update(kind="room")
    assert 'data-testid="decline"' in page(amina)


def test_declining_gives_the_caller_back_and_a_stale_decline_is_told(amina: Client) -> None:
    offer = ringing()
    html = do(amina, "decline")
    offer.refresh_from_db()
    assert offer.state == "declined"
    assert 'data-state="held_off"' in html
    assert "This call is not ringing any more." in part(do(amina, "decline"), "news")


# --- The call and its record ---------------------------------------------------------------------


def test_a_hang_up_that_came_too_late_is_a_sentence(amina: Client) -> None:
    made_up.put("amina")
    assert "That call has ended already." in part(do(amina, "hang-up"), "news")
    without_script = amina.post("/agent/hang-up/")
    assert without_script.status_code == 200
    assert "<html" in without_script.content.decode()


def test_help_is_asked_for_and_withdrawn(amina: Client) -> None:
    talking()
    html = do(amina, "help", help="ask")
    assert "You have asked for help." in part(html, "help-asked")
    assert Alert.objects.filter(kind="help", dismissed_at=None).count() == 1
    html = do(amina, "help", help="withdraw")
    assert part(html, "help-asked") == ""
    assert not Alert.objects.filter(kind="help", dismissed_at=None).exists()
    assert "help-asked" in do(amina, "help", help="ask")


def test_notes_are_saved_while_they_are_typed(amina: Client) -> None:
    offer, known = talking(), dispositions()
    answer = amina.post(f"/agent/notes/{offer.pk}/", {"notes": "Wants a red one"})
    assert (answer.status_code, json.loads(answer.content)) == (200, {"saved": True})
    amina.post(f"/agent/notes/{offer.pk}/",
               {"notes": "Wants a red one.", "disposition": known["Placed"].pk})  # fmt: skip
    amina.post(f"/agent/notes/{offer.pk}/", {"notes": "Wants a red one!"})
    written = WrapUp.objects.get(pk=offer.pk)
    assert (written.notes, written.disposition) == ("Wants a red one!", known["Placed"])
    html = page(amina)
    assert ">Wants a red one!</textarea>" in html
    assert re.search(rf'value="{known["Placed"].pk}" checked', html)


def test_notes_about_the_call_of_another_are_refused(amina: Client) -> None:
    brian = Agent.objects.get(user__username="brian")
    row = made_up.call("support", "completed", ago=99, talked=9, customer=NUMBER, agent=brian)
    theirs = made_up.offer(row, brian, "ended", ago=98, answered=97, until=88)
    answer = amina.post(f"/agent/notes/{theirs.pk}/", {"notes": "x"})
    assert answer.status_code == 409
    assert json.loads(answer.content) == {"why": "That was a call of another agent."}
    assert not WrapUp.objects.exists()


def test_a_disposition_out_of_use_loses_no_notes(amina: Client) -> None:
    offer, known = talking(), dispositions()
    Disposition.objects.filter(label="Placed").update(is_active=False)
    sent = {"notes": "Long story", "disposition": known["Placed"].pk}
    assert amina.post(f"/agent/notes/{offer.pk}/", sent).status_code == 409
    assert WrapUp.objects.get(pk=offer.pk).notes == "Long story"


def test_done_asks_for_the_disposition_that_the_queue_requires(amina: Client) -> None:
    offer, known = wrapping_up(), dispositions()
    Queue.objects.filter(slug="support").update(disposition_required=True)
    html = do(amina, "done", offer=offer.pk, notes="Call back on Monday")
    assert part(html, "disposition-error") == "Choose a disposition first."
    assert ">Call back on Monday</textarea>" in html
    assert html.count('aria-describedby="disposition-error"') == 3
    assert 'data-state="wrap_up"' in html
    html = do(amina, "done", offer=offer.pk, disposition=known["Placed"].pk, notes="Monday")
    assert 'data-state="idle"' in html
    written = WrapUp.objects.get(pk=offer.pk)
    assert (written.disposition, written.notes) == (known["Placed"], "Monday")


def test_dispositions_come_in_two_levels_with_a_digit_each(amina: Client) -> None:
    wrapping_up()
    dispositions()
    shown = part(page(amina), "dispositions")
    assert shown.startswith("What did it come to? Order Placed 1 Changed 2")
    assert "Wrong number 3" in words(page(amina))


def test_a_wrap_up_is_lengthened_once(amina: Client) -> None:
    wrapping_up()
    until = Agent.objects.get(user__username="amina").wrap_up_until
    assert "1:00 more" in words(page(amina))
    html = do(amina, "extend")
    assert "1:00 more" not in words(html)
    after = Agent.objects.get(user__username="amina").wrap_up_until
    assert until is not None
    assert after == until + timedelta(seconds=60)
    assert "lengthened already" in part(do(amina, "extend"), "news")


def test_done_during_a_call_ends_nothing(amina: Client) -> None:
    offer = talking()
    do(amina, "done", offer=offer.pk, notes="so far")
    offer.refresh_from_db()
    assert offer.state == "joined"
    assert WrapUp.objects.get(pk=offer.pk).notes == "so far"


# --- Calling somebody ----------------------------------------------------------------------------


def test_a_wrong_number_is_told_at_the_field_and_what_was_typed_stays(amina: Client) -> None:
    made_up.put("amina")
    html = do(amina, "call", to="12 34", queue="support")
    assert 'aria-invalid="true" aria-describedby="dial-error"' in html
    assert 'value="12 34"' in html
    assert '<option value="support" selected>' in html
    assert not QueuedCall.objects.exists()


def test_a_call_is_placed_for_the_agent(amina: Client) -> None:
    made_up.put("amina")
    html = do(amina, "call", to="0722 418 377", queue="support")
    row = QueuedCall.objects.get()
    assert (row.customer, row.queue and row.queue.slug, row.direction) == (
        NUMBER, "support", "outbound",
    )  # fmt: skip
    assert "Calling for you" in words(html)
    assert 'data-testid="dial"' not in html


def test_who_is_not_free_is_told_so_at_the_form(amina: Client) -> None:
    made_up.put("amina", presence="offline")
    assert 'data-testid="dial"' not in page(amina)
    made_up.put("amina")
    assert 'data-testid="dial"' in page(amina)
    assert do(amina, "call", to=NUMBER, queue="appointments").count("not in this queue") == 1


def test_recent_numbers_are_offered_once_each_with_their_names(amina: Client) -> None:
    agent = made_up.put("amina")
    Contact.objects.create(number=NUMBER, name="Wanjiru Traders")
    for ago, number in ((900, NUMBER), (700, NUMBER), (500, "+254733000001"), (300, "anonymous")):
        row = made_up.call("support", "abandoned", ago=ago, customer=number, abandoned_in="queue")
        made_up.offer(row, agent, "caller_gone", ago=ago, until=ago - 5)
    html = page(amina)
    assert re.findall(r'data-number="([^"]*)"[^>]*>([^<]*)', html) == [
        ("+254733000001", "+254733000001"), (NUMBER, "Wanjiru Traders"),
    ]  # fmt: skip
    assert f'value="{NUMBER}"' in page(amina, "/agent/", to=NUMBER)


# --- Messages, absence, signs of life ------------------------------------------------------------


def test_a_message_of_a_supervisor_stays_until_it_is_read(amina: Client) -> None:
    agent = Agent.objects.get(user__username="amina")
    sender = User.objects.get(username="supervisor")
    notice = Notice.objects.create(text="Line 2 is down.", sender=sender, created_at=timezone.now())
    one = NoticeRecipient.objects.create(notice=notice, agent=agent)
    assert "Line 2 is down." in part(page(amina), "notices")
    html = do(amina, f"notices/{one.pk}/read")
    assert part(html, "notices") == ""
    one.refresh_from_db()
    assert one.read_at is not None


def test_who_comes_back_is_told_what_happened_meanwhile(amina: Client) -> None:
    agent = made_up.put("amina", presence="break", presence_reason="3 calls were not answered")
    now = timezone.now()
    for ago in (500, 300, 100):
        row = made_up.call("support", "abandoned", ago=ago, customer=NUMBER, abandoned_in="queue")
        made_up.offer(row, agent, "no_answer", ago=ago, until=ago - 15)
    since = (now - timedelta(seconds=400)).isoformat()
    html = page(amina, since=since, until=now.isoformat())
    told = part(html, "away")
    assert "2 calls rang that you did not answer." in told
    assert re.search(r"You were put on break at \d\d:\d\d: 3 calls were not answered\.", told)
    # It stays while the page sends it along, whatever else is done; and is bounded by its end.
    assert "2 calls rang" in part(do(amina, "presence", presence="break", since=since,
                                     until=now.isoformat()), "away")  # fmt: skip
    early = (now - timedelta(seconds=390)).isoformat()
    assert part(page(amina, since=since, until=early), "away") == ""


def test_ones_own_doing_is_no_news_and_nonsense_is_none_either(amina: Client) -> None:
    since = (timezone.now() - timedelta(seconds=400)).isoformat()
    do(amina, "presence", presence="available")
    do(amina, "presence", presence="break")
    assert part(page(amina, since=since), "away") == ""
    for nonsense in ("", "yesterday", "2026-13-45T00:00", "2026-11-22T10:00", "9" * 400):
        assert part(page(amina, since=nonsense, until=nonsense), "away") == ""


def test_a_supervisor_who_changed_the_presence_is_named(amina: Client) -> None:
    agent = made_up.put("amina", presence="offline")
    PresencePeriod.objects.filter(agent=agent, ended_at=None).update(
        actor=User.objects.get(username="supervisor")
    )
    since = (timezone.now() - timedelta(seconds=60)).isoformat()
    assert "Sarah set you offline at" in part(page(amina, since=since), "away")


def test_the_page_gives_a_sign_of_life(amina: Client) -> None:
    assert amina.post("/agent/seen/").status_code == 204
    assert Heartbeat.objects.get().agent.user.username == "amina"


def test_sounds_are_a_preference(amina: Client) -> None:
    assert re.search(r'id="sounds" aria-pressed="true"', page(amina, "/agent/"))
    amina.post("/agent/sounds/", {"sounds": "off"}, headers=HX)
    assert Preferences.objects.get().sounds is False
    assert re.search(r'id="sounds" aria-pressed="false"', page(amina, "/agent/"))


def test_the_desk_asks_few_questions_of_the_database(amina: Client) -> None:
    wrapping_up()
    dispositions()
    with CaptureQueriesContext(connection) as asked:
        page(amina)
    assert len(asked) <= 18, [one["sql"][:90] for one in asked]
