"""What the mirror and our legs disagree about: found, kept, settled."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry

from callcenter.sautikit.callbacks import Outcome
from queues import adoption, calls, provider
from queues.models import Leg, Number, Offer, Supervision
from queues.scene import scene
from reporting.mirror import differences, noting, polling
from reporting.models import CallRecord, Difference
from tests.factories import LINE, T0, make_offered, make_queue, make_supervisor, make_waiting
from tests.mirror.conftest import URL, after

pytestmark = pytest.mark.django_db
NOW = after(3600)


@pytest.fixture(autouse=True)
def since_yesterday():
    """The mirror is read since a day before T0, and up to now."""
    provider.learn(adoption.ADOPTS_SINCE, after(-86400).isoformat(), at=T0)
    provider.learn(polling.POLLED_UNTIL, NOW.isoformat(), at=T0)


def find(at=NOW):
    return differences.find(after(-3600), at, at=at)


def record(leg=None, **values):
    return CallRecord.objects.create(**{
        "provider_id": "c-1", "direction": "inbound", "local": LINE, "remote": "+254700000111",
        "status": "completed", "started_at": T0, "answered_at": after(2), "ended_at": after(62),
        "duration_seconds": 60, "first_seen_at": after(70), "changed_at": after(70),
        "leg": leg, "call": leg.call if leg else None, **values,
    })  # fmt: skip


def customers_leg(*, state="completed", answered=2, ended=62):
    """The leg of a customer who called, and talked unless `state` says otherwise."""
    call = make_offered(make_queue())
    talked = state == "completed"
    if talked:
        with scene(call.pk, at=after(answered), source="test") as opened:
            calls.connect(opened, at=after(answered))
        with scene(call.pk, at=after(ended), source="test") as opened:
            calls.finish(opened, ended_at=after(ended), reason="agent hung up")
    else:
        with scene(call.pk, at=after(ended), source="test") as opened:
            calls.customer_ended(opened, outcome=Outcome.COMPLETED, ended_at=after(ended))
    leg = Leg.objects.get(call=call, role="customer")
    Leg.objects.filter(pk=leg.pk).update(
        state="ended", ended_at=after(ended), answered_at=after(answered) if talked else None,
        ask_at=None, hang_up_at=None, outcome="completed",
    )  # fmt: skip
    leg.refresh_from_db()
    return leg


class TestUnknownRecords:
    def test_one_without_a_call_is_listed(self):
        make_queue()
        mirrored = record()
        assert find() == 1
        found = Difference.objects.get()
        assert (found.kind, found.record, found.subject) == ("unknown", mirrored, "c-1")
        assert found.theirs == "inbound, completed, 1:00"
        assert (found.happened_at, found.found_at, found.settled_at) == (T0, NOW, None)
        assert found.done == "Nothing: it could not be adopted as a call."

    @pytest.mark.parametrize(
        ("values", "done"),
        [
            ({"status": "answered", "ended_at": None}, "Nothing yet: it is still going on."),
            ({"direction": "outbound"}, "Nothing: no offer of ours was open to this number then."),
            ({"local": "+254299"}, "Nothing: the number that was called is not set up here."),
        ],
    )
    def test_it_says_why_nothing_was_done(self, values, done):
        make_queue()
        record(**values)
        find()
        assert Difference.objects.get().done == done

    def test_found_again_it_is_the_same_row(self):
        record()
        find()
        find(after(3660))
        found = Difference.objects.get()
        assert (found.found_at, found.last_seen_at) == (NOW, after(3660))

    def test_linked_later_it_is_settled_by_itself(self):
        mirrored = record()
        find()
        call = make_waiting(make_queue())
        leg = call.legs.get()
        CallRecord.objects.filter(pk=mirrored.pk).update(leg=leg, call=call)
        find(after(3660))
        found = Difference.objects.get()
        assert found.done == f"Adopted as a leg of call {call.public_id}."
        assert (found.settled_at, found.call) == (after(3660), call)

    @pytest.mark.parametrize("seconds", [-100, -90001])
    def test_what_just_began_or_is_older_than_the_centre_is_none(self, seconds):
        record(started_at=NOW + timedelta(seconds=seconds))
        assert differences.find(after(-(10**6)), NOW, at=NOW) == 0

    def test_a_supervisor_who_listened_in_is_told_and_settled(self):
        call = make_waiting(make_queue())
        Supervision.objects.create(
            call=call, leg=call.legs.get(), supervisor=make_supervisor(), phone="+254722000001",
            mode="listen", wanted_mode="listen", state="ended", created_at=after(-1), ended_at=NOW,
        )  # fmt: skip
        record(direction="outbound", remote="+254722000001")
        find()
        found = Difference.objects.get()
        assert found.done == "Nothing: it is the leg of a supervisor who listened in."
        assert found.settled_at == NOW


class TestLegsWithoutARecord:
    @pytest.fixture
    def unknown(self, sautikit_api):
        sautikit_api.get(f"{URL}/c-9", json={}, status=404)

    def leg(self):
        leg = customers_leg()
        Leg.objects.filter(pk=leg.pk).update(provider_id="c-9")
        return leg

    def test_one_is_listed_after_it_was_asked_about_by_name(self, unknown, sautikit_api):
        leg = self.leg()
        assert find() == 1
        found = Difference.objects.get()
        assert (found.kind, found.leg, found.call) == ("no_record", leg, leg.call)
        assert found.ours == "customer's leg, completed, 1:00"
        assert found.done == "Nothing: asked for by its name, Sautikit does not know it."
        find(after(3660))
        assert len(sautikit_api.calls) == 1  # once is enough

    def test_one_that_is_found_by_name_is_mirrored_and_no_difference(self, sautikit_api):
        leg = self.leg()
        sautikit_api.get(f"{URL}/c-9", json={"call": {
            "id": "c-9", "session_id": leg.session_id, "status": "completed",
            "started_at": T0.isoformat(), "answered_at": after(2).isoformat(),
            "ended_at": after(62).isoformat(), "duration_seconds": 60,
        }})  # fmt: skip
        assert find() == 0
        assert CallRecord.objects.get().leg == leg

    def test_without_an_answer_it_is_asked_again(self, sautikit_api):
        self.leg()
        sautikit_api.get(f"{URL}/c-9", json={}, status=503)
        find()
        assert Difference.objects.get().done == "Nothing yet."
        sautikit_api.get(f"{URL}/c-9", json={}, status=404)
        find(after(3660))
        find(after(3720))
        assert Difference.objects.get().done.startswith("Nothing: asked for by its name")

    def test_ten_minutes_after_its_end_at_the_earliest(self, unknown):
        self.leg()  # ended at T0 + 62
        provider.learn(polling.POLLED_UNTIL, after(661).isoformat(), at=T0)
        assert find() == 0
        provider.learn(polling.POLLED_UNTIL, after(663).isoformat(), at=T0)
        assert find() == 1

    def test_its_record_comes_later(self, unknown):
        leg = self.leg()
        find()
        record(leg)
        find(after(3660))
        found = Difference.objects.get()
        assert (found.done, found.settled_at) == ("Its record came later.", after(3660))


class TestSideBySide:
    def test_both_the_same_is_no_difference(self):
        record(customers_leg())
        assert find() == 0

    @pytest.mark.parametrize(("seconds", "count"), [(58, 0), (62, 0), (57, 1), (63, 1)])
    def test_a_talk_may_be_two_seconds_off(self, seconds, count):
        record(customers_leg(), duration_seconds=seconds)
        assert find() == count
        for found in Difference.objects.all():
            assert (found.kind, found.ours) == ("duration", "1:00")
            assert found.theirs == f"{seconds // 60}:{seconds % 60:02}"

    def test_without_a_duration_the_times_are_compared(self):
        record(customers_leg(), duration_seconds=None, ended_at=after(72))
        assert find() == 1

    def test_a_talk_that_the_record_denies(self):
        record(customers_leg(), answered_at=None, duration_seconds=0)
        find()
        found = Difference.objects.get()
        assert (found.kind, found.theirs, found.ours) == ("answered", "Not answered.", "Answered.")

    def test_a_caller_who_only_waited_was_answered_by_our_sounds(self):
        record(customers_leg(state="abandoned"))
        assert find() == 0

    def test_an_agents_leg_that_only_the_record_says_was_answered(self):
        leg = customers_leg(state="abandoned")
        offer = Offer.objects.get()
        own = Leg.objects.create(
            call=leg.call, offer=offer, role="agent", state="ended", party="+254711000001",
            line=LINE, session_id="HD_a", planned_at=T0, placed_at=T0, ended_at=after(20),
            is_placed_by_us=True,
        )  # fmt: skip
        record(leg, provider_id="c-2")
        record(own, direction="outbound")
        find()
        found = Difference.objects.get()
        assert (found.leg, found.theirs, found.ours) == (own, "Answered.", "Not answered.")

    def test_put_right_it_is_settled_and_wrong_again_it_is_open(self):
        mirrored = record(customers_leg(), duration_seconds=90)
        find()
        CallRecord.objects.filter(pk=mirrored.pk).update(duration_seconds=60)
        find(after(3660))
        found = Difference.objects.get()
        assert (found.done, found.settled_at) == ("Both say the same now.", after(3660))
        CallRecord.objects.filter(pk=mirrored.pk).update(duration_seconds=90)
        find(after(3720))
        found.refresh_from_db()
        assert (found.settled_at, found.found_at) == (None, NOW)


class TestByHand:
    @pytest.fixture
    def found(self):
        self.mirrored = record(customers_leg(), duration_seconds=90)
        find()
        return Difference.objects.get()

    def test_it_says_who_when_and_why_and_the_log_keeps_it(self, found):
        sarah = make_supervisor()
        assert noting.settle_by_hand(found.pk, note="Known fault", user=sarah, at=after(3650))
        assert not noting.settle_by_hand(found.pk, note="again", user=sarah, at=after(3651))
        found.refresh_from_db()
        assert (found.settled_by, found.settled_at) == (sarah, after(3650))
        assert found.done == "Settled by hand: Known fault"
        assert "Known fault" in LogEntry.objects.get().change_message

    def test_it_stays_settled_while_nothing_changes(self, found):
        noting.settle_by_hand(found.pk, note="ok", user=make_supervisor(), at=after(3650))
        find(after(3660))
        found.refresh_from_db()
        assert found.settled_at == after(3650)

    def test_it_opens_again_when_they_say_something_else(self, found):
        noting.settle_by_hand(found.pk, note="ok", user=make_supervisor(), at=after(3650))
        CallRecord.objects.update(duration_seconds=95)
        find(after(3660))
        found.refresh_from_db()
        assert (found.settled_at, found.settled_by, found.theirs) == (None, None, "1:35")


def test_nothing_is_found_before_anything_was_read():
    provider.ProviderFact.objects.all().delete()
    record()
    customers_leg()
    assert find() == 0


def test_what_could_not_be_read_is_settled_when_it_does_not_happen_again():
    noting.malformed("cursor", "x", at=T0, done="d")
    noting.malformed("row 1", "x", at=T0, done="d")
    find(after(601))
    settled = {row.subject: row.settled_at for row in Difference.objects.all()}
    assert settled == {"cursor": after(601), "row 1": None}
    find(after(2 * 86400 + 1))
    assert not Difference.objects.filter(settled_at=None).exists()


def test_one_query_compares_however_many_records_agree(django_assert_max_num_queries):
    record(customers_leg())
    assert Number.objects.count() == 1
    with django_assert_max_num_queries(16):
        find()
