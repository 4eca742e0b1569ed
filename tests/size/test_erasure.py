"""Erasing one person: the number goes from everything, the figures stay, and it is proved."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from zipfile import ZipFile

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from callcenter.outbox.models import Delivery, Endpoint, Message
from callcenter.sautikit import phone
from callcenter.sautikit.callbacks import Outcome, Record
from queues import alerts
from queues.models import Alert, CallEvent, Contact, QueuedCall, WebhookEvent, WrapUp
from reporting import erasure, pseudonyms, traces
from reporting.figures import repeat_calls, report
from reporting.figures.asked import Asked
from reporting.history import making, wish
from reporting.mirror import taking_over
from reporting.models import CallRecord, Erasure, Export, StaleQuarter
from tests.factories import make_agent, make_queue, make_recording, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.fixture
def storage(tmp_path, settings):
    settings.STATE_DIR = tmp_path
    return tmp_path / "recordings"


@pytest.fixture
def number(storage):
    """The number of somebody who has called more than once, in a week of history."""
    zone = timezone.get_default_timezone()
    asked = wish.Wish(60, 2, 2, 4, 3, zone, AT, 2)
    making.make(asked, at=AT, told=lambda text: None)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL callcenter.bulk = 'off'")  # as in a transaction of its own
    several = [row["customer"] for row in _by_customer() if row["n"] > 2]
    return next(customer for customer in several if customer.startswith("+"))


def _by_customer():
    from django.db.models import Count

    calls = QueuedCall.objects.exclude(customer="anonymous").order_by("customer")
    return calls.values("customer").annotate(n=Count("pk"))


def everything(number):
    """All text of the database that a plain search finds the number's last nine digits in."""
    core, found = number[-9:], []
    with connection.cursor() as cursor:
        for table, columns in traces.columns().items():
            for column in columns:
                cursor.execute(
                    f'SELECT count(*) FROM "{table}" WHERE "{column.name}"::text LIKE %s',
                    [f"%{core}%"],
                )
                if cursor.fetchone()[0]:
                    found.append(f"{table}.{column.name}")
    return found


def figures():
    asked = Asked(AT - timedelta(days=5), AT, timezone.get_default_timezone(), ())
    return report.queues(asked, at=AT), repeat_calls.repeats(asked, at=AT)


def test_the_number_is_found_nowhere_afterwards_and_no_figure_changes(number):
    Contact.objects.create(number=number, name="Wanjiru", notes="Calls at night.")
    alerts.raise_alert("other", number, f"{number} has waited.", at=AT)
    before, places = figures(), everything(number)
    assert {
        "queues_queuedcall.customer", "queues_leg.party", "reporting_callrecord.remote",
        "queues_webhookevent.body", "queues_historicalcontact.number",
    } <= set(places)  # fmt: skip
    row = erasure.erase(number, at=AT, reason="Asked for by mail.")
    assert everything(number) == []
    assert row.remaining == 0
    assert (row.ended_at, row.verified_at) == (AT, AT)
    assert not StaleQuarter.objects.exists()  # before a report freshens them
    assert figures() == before
    told = [str(detail) for detail in CallEvent.objects.values_list("detail", flat=True)]
    assert not [detail for detail in told if phone.masked(number) in detail]


def test_all_calls_of_the_person_have_one_fresh_name(number):
    count = QueuedCall.objects.filter(customer=number).count()
    first = erasure.erase(number, at=AT)
    assert first.replaced_by.startswith("erased-")
    assert QueuedCall.objects.filter(customer=first.replaced_by).count() == count
    assert number not in str(Erasure.objects.values().get())
    assert first.digest == pseudonyms.digest(number)
    again = erasure.erase(number, at=AT)
    assert again.replaced_by != first.replaced_by
    assert again.counts == {}


def test_the_rows_of_others_stay_as_they_are(number):
    other = QueuedCall.objects.exclude(customer=number).values_list("pk", "customer")
    before = dict(other)
    erasure.erase(number, at=AT)
    assert dict(QueuedCall.objects.filter(pk__in=before).values_list("pk", "customer")) == before


def test_notes_of_those_calls_go_and_the_disposition_stays(number):
    offer_calls = QueuedCall.objects.filter(customer=number, state="completed")
    keys = WrapUp.objects.filter(offer__call__in=offer_calls).values_list("pk", flat=True)
    written = WrapUp.objects.filter(pk__in=list(keys))
    written.update(notes="Lives in Thika.")
    chosen = list(written.order_by("pk").values_list("disposition_id", flat=True))
    erasure.erase(number, at=AT)
    assert set(written.values_list("notes", flat=True)) == {""}
    assert list(written.order_by("pk").values_list("disposition_id", flat=True)) == chosen


FORMS = [
    "{0}", "254{rest}", "0{rest}", "00254{rest}", "sip:{0}@pbx.example.com", "tel %2B254{rest}",
    "0{rest[0]}{rest[1]}{rest[2]} {rest[3]}{rest[4]}{rest[5]} {tail}",
    "+254-{rest[0]}{rest[1]}{rest[2]}-{rest[3]}{rest[4]}{rest[5]}-{tail}", "{rest}",
    "+254 (0) {rest}",
]  # fmt: skip
OF_OTHERS = ["{0}9", "1{rest}", "+2557{rest}", "a{rest}b", "{rest}00"]


def test_every_usual_form_is_replaced_and_longer_numbers_are_of_somebody_else(number):
    rest = number[4:]

    def alert(form):
        text = form.format(number, rest=rest, tail=rest[6:])
        return Alert.objects.create(
            kind="other", subject=form, text=f"Who is {text}?", first_at=AT, last_at=AT
        )

    his, others = [alert(form) for form in FORMS], [alert(form) for form in OF_OTHERS]
    event = CallEvent.objects.order_by("pk").first()
    detail = {one.text: [one.text, {"n": 5, one.text: None}] for one in his}
    CallEvent.objects.filter(pk=event.pk).update(detail=detail)
    row = erasure.erase(number, at=AT)
    assert row.remaining == 0
    for one in his:
        one.refresh_from_db()
        assert rest[6:] not in one.text, one.subject
        assert row.replaced_by in one.text
    for one in others:
        before = one.text
        one.refresh_from_db()
        assert one.text == before
    event.refresh_from_db()
    assert rest[6:] not in json.dumps(event.detail)


def test_a_number_in_a_body_that_is_a_plain_number_of_json_goes_too(number):
    WebhookEvent.objects.create(
        key="k", endpoint="events", verdict="trusted", body=json.dumps({"from": int(number[1:])})
    )
    row = erasure.erase(number, at=AT)
    assert row.remaining == 0
    assert json.loads(WebhookEvent.objects.get(key="k").body) == {"from": row.replaced_by}


def test_what_waits_to_be_told_to_other_systems_goes_out_with_the_name(number):
    endpoint = Endpoint.objects.create(
        url="https://x.example", description="x", topics=["call.ended"], secrets=["s"]
    )
    message = Message.objects.create(
        topic="call.ended", subject="c", at=AT, payload={"from": number, "id": "c"}
    )
    Delivery.objects.create(endpoint=endpoint, message=message, subject="c", next_at=AT)
    row = erasure.erase(number, at=AT)
    message.refresh_from_db()
    assert message.payload == {"from": row.replaced_by, "id": "c"}
    assert Delivery.objects.filter(message=message, next_at=AT).exists()


def test_the_contact_goes_and_only_that_somebody_removed_one_is_kept(number):
    contact = Contact.objects.create(number=number, name="Wanjiru")
    contact.notes = "Secret."
    contact.save()
    row = erasure.erase(number, at=AT)
    assert not Contact.objects.exists()
    [kept] = Contact.history.all()
    assert (kept.history_type, kept.number, kept.name, kept.notes) == (
        "-", row.replaced_by, row.replaced_by, "",
    )  # fmt: skip


def test_recordings_and_exports_that_hold_it_go_with_their_files(number, storage, tmp_path):
    mine = QueuedCall.objects.filter(customer=number, state="completed").first()
    mine = mine or QueuedCall.objects.filter(customer=number).first()
    recording = make_recording(mine, storage=storage)
    other = QueuedCall.objects.exclude(customer=number).filter(direction="inbound").first()
    others = make_recording(other, storage=storage)
    (tmp_path / "exports").mkdir()
    with ZipFile(tmp_path / "exports" / "a.xlsx", "w") as book:
        book.writestr("xl/sheet1.xml", f"<c>{number}</c>")
    (tmp_path / "exports" / "b.csv").write_text("nobody")
    exports = [
        Export.objects.create(
            report="calls", state="done", path=path, created_at=AT, ended_at=AT
        )
        for path in ("a.xlsx", "b.csv")
    ]  # fmt: skip
    row = erasure.erase(number, at=AT)
    assert row.files == 2
    assert not (storage / f"2026/{mine.pk}.wav").exists()
    assert (storage / f"2026/{other.pk}.wav").exists()
    recording.refresh_from_db()
    others.refresh_from_db()
    assert (recording.state, recording.path, others.state) == ("removed", "", "stored")
    assert [Export.objects.get(pk=each.pk).state for each in exports] == ["removed", "done"]
    assert sorted(p.name for p in (tmp_path / "exports").iterdir()) == ["b.csv"]


def test_calls_whose_number_was_replaced_before_are_found_by_its_name(number):
    QueuedCall.objects.filter(customer=number).update(customer=pseudonyms.of(number))
    row = erasure.erase(number, at=AT)
    assert row.remaining == 0
    assert not QueuedCall.objects.filter(customer__startswith="caller-").exists()


def test_a_sip_caller_stays_one_for_the_costs(storage):
    call = make_waiting(make_queue(), customer="sip:Wanjiru@home.example.com")
    call.legs.update(state="ended", ended_at=AT, ask_at=None, party=call.customer)
    QueuedCall.objects.filter(pk=call.pk).update(
        state="abandoned", abandoned_in="queue", ended_at=AT
    )
    row = erasure.erase("sip:wanjiru@home.example.com", at=AT)
    assert row.remaining == 0
    assert QueuedCall.objects.get().customer == f"sip:{row.replaced_by}@nowhere.invalid"


class TestRefusals:
    def test_somebody_who_is_on_a_call_is_not_erased(self, storage):
        call = make_waiting(make_queue())
        with pytest.raises(erasure.Refused, match="still going on"):
            erasure.erase(call.customer, at=AT)
        assert QueuedCall.objects.get().customer == call.customer
        assert not Erasure.objects.exists()

    @pytest.mark.parametrize(
        "wrong", ["", "  ", "hello", "+12", "0712", "sip:", "+254\x00", "+" * 300]
    )
    def test_what_is_no_number_is_refused_with_a_sentence(self, wrong):
        with pytest.raises(erasure.Refused, match=r"phone number|SIP"):
            erasure.erase(wrong, at=AT)
        assert not Erasure.objects.exists()

    def test_numbers_of_our_own_are_no_persons(self):
        make_queue(number="+254200000101")
        with pytest.raises(erasure.Refused, match="number of this call centre"):
            erasure.look("+254200000101")
        agent = make_agent()
        with pytest.raises(erasure.Refused, match="agent's phone"):
            erasure.look(agent.destination)

    def test_where_it_fails_in_the_middle_nothing_is_changed(self, number, monkeypatch):
        before = QueuedCall.objects.filter(customer=number).count()
        monkeypatch.setattr(erasure, "_remove_exports", lambda whom: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erasure.erase(number, at=AT)
        assert QueuedCall.objects.filter(customer=number).count() == before
        assert Erasure.objects.get().ended_at is None

    def test_what_is_found_afterwards_is_told(self, number, monkeypatch):
        monkeypatch.setattr(traces, "replace", lambda *args, **options: None)
        row = erasure.erase(number, at=AT)
        assert row.remaining == sum(traces.count(erasure.person(number)).values()) > 0


class TestTheCommand:
    def run(self, *arguments):
        out = StringIO()
        call_command("erase_person", *arguments, stdout=out)
        return out.getvalue()

    def test_a_dry_run_tells_and_changes_nothing(self, number):
        told = self.run(number, "--dry-run")
        calls = QueuedCall.objects.filter(customer=number).count()
        assert f"queues_queuedcall.customer: {calls}" in told
        assert calls
        assert not Erasure.objects.exists()

    def test_it_erases_and_says_what_is_left(self, number):
        told = self.run("0" + number[4:], "--reason", "By letter")
        assert "found afterwards: 0" in told
        assert Erasure.objects.get().reason == "By letter"
        assert number not in told

    def test_what_is_left_is_an_error(self, number, monkeypatch):
        monkeypatch.setattr(traces, "replace", lambda *args, **options: None)
        with pytest.raises(SystemExit):
            self.run(number)

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [(["hello"], "phone number"), (["+254700000111", "--reason", "x" * 201], "at most 200")],
    )
    def test_bad_words_are_refused(self, wrong, told):
        with pytest.raises(CommandError, match=told):
            self.run(*wrong)


class TestThePage:
    @pytest.fixture
    def root(self):
        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        return client

    def post(self, client, **values):
        return client.post(
            reverse("erasures"),
            {f"erase-{k}" if k != "confirm" else k: v for k, v in values.items()},
        )

    def test_supervisors_may_not(self):
        client = Client()
        client.force_login(make_supervisor())
        assert client.get(reverse("erasures")).status_code == 403
        assert self.post(client, number="+254700000111", confirm="yes").status_code == 403

    def test_what_there_is_is_shown_first(self, root, number):
        page = self.post(root, number=number, reason="Asked.")
        assert page.status_code == 200
        assert "queues_queuedcall.customer" in page.content.decode()
        assert QueuedCall.objects.filter(customer=number).exists()

    def test_confirmed_it_is_done_and_proved(self, root, number):
        page = root.post(
            reverse("erasures"),
            {"erase-number": number, "erase-reason": "Asked.", "confirm": "yes"},
            follow=True,
        )
        assert "finds the number nowhere" in page.content.decode()
        row = Erasure.objects.get()
        assert (row.requested_by.username, row.reason, row.remaining) == ("root", "Asked.", 0)
        assert number not in page.content.decode()

    @pytest.mark.parametrize("wrong", ["", "hello", "+12", "0" * 200])
    def test_bad_input_is_told_at_the_field(self, root, wrong):
        page = self.post(root, number=wrong, confirm="yes")
        assert page.status_code == 400
        assert 'id="id_erase-number_error"' in page.content.decode()
        assert not Erasure.objects.exists()

    def test_a_reason_that_is_too_long_is_told_at_the_field(self, root):
        page = self.post(root, number="+254700000111", reason="x" * 201, confirm="yes")
        assert page.status_code == 400
        assert not Erasure.objects.exists()

    def test_who_is_on_a_call_is_told_at_the_field(self, root):
        call = make_waiting(make_queue())
        page = self.post(root, number=call.customer, confirm="yes")
        assert page.status_code == 400
        assert "still going on" in page.content.decode()


def test_a_reason_that_names_the_number_is_no_place_to_keep_it(number):
    row = erasure.erase(number, at=AT, reason=f"{number} wrote a letter.")
    assert everything(number) == []
    assert Erasure.objects.get(pk=row.pk).reason == f"{row.replaced_by} wrote a letter."


def test_what_stands_with_the_calls_of_others_is_found_by_the_search(number):
    other = QueuedCall.objects.exclude(customer=number).filter(legs__role="customer").first()
    other.legs.update(request=f'{{"to": ["{number}"]}}')
    row = erasure.erase(number, at=AT)
    assert (row.remaining, everything(number)) == (0, [])


def test_a_record_that_the_provider_tells_again_does_not_bring_the_number_back(number):
    mirrored = CallRecord.objects.filter(remote=number).first()
    row = erasure.erase(number, at=AT)
    told = Record(
        call_id=mirrored.provider_id, session_id=mirrored.session_id, direction=mirrored.direction,
        local=mirrored.local, remote=number, status=Outcome.COMPLETED, cost_minor=77,
        started_at=mirrored.started_at, ended_at=mirrored.ended_at,
    )  # fmt: skip
    taking_over.take_over(told, at=AT)
    mirrored.refresh_from_db()
    assert (mirrored.cost_minor, mirrored.remote) == (77, row.replaced_by)
    assert everything(number) == []
