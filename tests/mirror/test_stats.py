"""The provider's sums of each day against those of the mirror."""

from datetime import UTC, datetime, timedelta

import pytest

from callcenter.sautikit import stats as wire
from queues import adoption, provider
from reporting.mirror import reading, stats
from reporting.models import BackFill, CallRecord, Difference
from tests.factories import T0
from tests.mirror.conftest import URL, row

pytestmark = pytest.mark.django_db
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
NOW = T0  # Friday, 08:00


def day(n, **sums):
    start = MONDAY + timedelta(days=n)
    return {"start": start.isoformat(), "total": 0, "failed": 0, "spend_minor": 0, **sums}


@pytest.fixture(autouse=True)
def read_since_monday():
    provider.learn(adoption.ADOPTS_SINCE, MONDAY.isoformat(), at=MONDAY)
    reading.client.cache_clear()


@pytest.fixture
def told(sautikit_api):
    def tell(*days, **sums):
        sautikit_api.remove("GET", f"{URL}/stats")
        sautikit_api.get(
            f"{URL}/stats", json={"total": 0, "currency": "KES", "series": list(days), **sums}
        )

    return tell


def mirrored(n, hours, **values):
    return CallRecord.objects.create(**{
        "provider_id": f"m-{n}-{hours}", "status": "completed", "cost_minor": 300,
        "started_at": MONDAY + timedelta(days=n, hours=hours), "first_seen_at": NOW,
        "changed_at": NOW, **values,
    })  # fmt: skip


def test_days_that_agree_are_in_the_table_and_no_difference(told):
    mirrored(1, 9)
    mirrored(1, 10, status="failed", cost_minor=None)
    told(day(0), day(1, total=2, failed=1, spend_minor=300), day(2))
    assert stats.compare(at=NOW) == 0
    assert not Difference.objects.exists()
    table = provider.recall(stats.COMPARED)
    assert table["currency"] == "KES"
    tuesday, wednesday = table["days"]  # the range begins in the middle of Monday
    assert tuesday["ours"] == {"total": 2, "failed": 1, "spend_minor": 300}
    assert wednesday["ours"] == {"total": 0, "failed": 0, "spend_minor": 0}


def test_a_day_that_is_not_over_is_not_compared(told):
    told(day(2), day(3, total=0), day(4, total=9))
    assert stats.compare(at=NOW) == 0
    assert len(provider.recall(stats.COMPARED)["days"]) == 1


def test_a_day_that_differs_is_read_again_first(told, lists):
    missing = row(0, started_at=(MONDAY + timedelta(days=1, hours=9)).isoformat(), cost_minor=300)
    lists([missing])
    told(day(0), day(1, total=1, spend_minor=300), day(2))
    assert stats.compare(at=NOW) == 0
    assert CallRecord.objects.count() == 1
    assert not Difference.objects.filter(kind="stats").exists()


def test_a_day_that_still_differs_is_kept_and_settled_when_it_agrees(told, lists):
    lists([])
    mirrored(1, 9)
    told(day(0), day(1, total=3, failed=1, spend_minor=900), day(2))
    assert stats.compare(at=NOW) == 1
    found = Difference.objects.get()
    assert (found.kind, found.subject) == ("stats", "2026-11-17T00:00Z")
    assert found.theirs == "total 3, failed 1, spent KES 9.00"
    assert found.ours == "total 1, failed 0, spent KES 3.00"
    assert found.done == "Nothing: the day was read again, and it is still so."
    told(day(0), day(1, total=1, spend_minor=300), day(2))
    stats.compare(at=NOW + timedelta(hours=1))
    found.refresh_from_db()
    assert found.settled_at == NOW + timedelta(hours=1)
    assert "the same sums now" in found.done


def test_a_sum_that_is_not_told_is_not_compared(told):
    mirrored(1, 9)
    told(day(0), day(1, total=1, failed=None, spend_minor="lots"), day(2))
    assert stats.compare(at=NOW) == 0


def test_a_day_before_the_mirror_begins_waits_for_a_back_fill(told):
    provider.learn(adoption.ADOPTS_SINCE, NOW.isoformat(), at=NOW)  # read from Thursday, 08:00
    told(day(0), day(1, total=3), day(2), day(3))
    assert stats.compare(at=NOW) == 0
    assert provider.recall(stats.COMPARED)["days"][0]["ours"] is None
    BackFill.objects.create(
        since=MONDAY, reached=MONDAY, until=NOW, state="done", next_at=NOW, started_at=NOW,
        ended_at=NOW,
    )  # fmt: skip
    assert [stats._is_read(MONDAY + timedelta(days=n), NOW, NOW) for n in (-1, 1)] == [False, True]


@pytest.mark.parametrize("body", ["<html>", "[]", "7", '{"error": {}}'])
def test_garbage_is_told_and_survived(sautikit_api, body):
    sautikit_api.get(f"{URL}/stats", body=body)
    assert stats.compare(at=NOW) == 0
    assert Difference.objects.get().subject == "stats"


def test_slots_that_are_none_are_told_and_the_others_compared(told):
    told(day(0), None, {"start": "soon"}, day(1, total=0), day(2))
    stats.compare(at=NOW)
    assert Difference.objects.get().theirs == "2 of the sums by day"
    assert len(provider.recall(stats.COMPARED)["days"]) == 2


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: {"stats": a}, lambda a: {"data": a}])
def test_the_wire_in_every_wrapper(wrap):
    told = wire.parse(wrap({"total": "7", "failed": 1, "spend_minor": -3, "currency": "kes",
                            "series": [day(1, total=2), day(0, total=1)]}))  # fmt: skip
    assert (told.total, told.failed, told.spend_minor, told.currency) == (7, 1, -3, "KES")
    assert [slot.total for slot in told.series] == [1, 2]
    assert told.series[0].start == MONDAY


def test_no_series_at_all_is_no_day(told, sautikit_api):
    sautikit_api.get(f"{URL}/stats", json={"total": 5})
    assert stats.compare(at=NOW) == 0
    assert provider.recall(stats.COMPARED)["days"] == []
