"""The mirror against the simulator over real HTTP, with every fault that its list can have."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from queues import adoption, provider
from reporting.mirror import back_fill, polling, reading, stats
from reporting.models import BackFill, CallRecord, Difference
from simulator.calls import Leg as SimulatedLeg
from simulator.config import Config, Number
from simulator.phones import Behaviour
from simulator.server import Simulator
from tests.factories import LINE

pytestmark = [pytest.mark.django_db, pytest.mark.acceptance]  # nothing between us and the wire
LEGS = 260  # three pages of a hundred


@pytest.fixture
def simulator(settings, monkeypatch):
    """A simulator in a thread; each fault can be switched on while it runs."""
    config = Config(port=0, api_key="test-key")
    loop, ready, held = asyncio.new_event_loop(), threading.Event(), {}

    async def run():
        async with Simulator(config) as simulator:
            held["simulator"], held["stop"] = simulator, asyncio.Event()
            ready.set()
            await held["stop"].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    ready.wait(10)
    settings.SAUTIKIT_API_BASE_URL = held["simulator"].url
    monkeypatch.setattr(back_fill, "PAUSE", 0.0)
    for one in (provider.client, reading.client):
        one.cache_clear()
    yield held["simulator"]
    for one in (provider.client, reading.client):
        one.cache_clear()
    loop.call_soon_threadsafe(held["stop"].set)
    thread.join(10)
    loop.close()


def legs(simulator, count, *, ago=600.0, apart=1.0):
    """Finished legs, the oldest `ago` seconds old, one each `apart` seconds."""
    began = datetime.now(UTC).timestamp() - ago
    for number in range(count):
        leg = SimulatedLeg("inbound", Number(LINE), LINE, f"+25470{number:07}", Behaviour())
        leg.started_at = began + number * apart
        leg.answered_at, leg.ended_at, leg.status = leg.started_at, leg.started_at + 3, "completed"
        leg.sequence, leg.cost_minor = number + 1, 15
        simulator.exchange.ledger.open(leg)


def faults(simulator, *kinds):
    from simulator.faults import Faults

    simulator.exchange.faults = Faults([{"kind": kind} for kind in kinds], 1)


def poll():
    return polling.poll(at=datetime.now(UTC))


@pytest.mark.parametrize(
    "kinds",
    [
        [], ["list_twice"], ["list_loop"], ["list_endless"], ["list_bad_cursor"], ["list_garbage"],
        ["list_nonsense"], ["list_twice", "list_loop", "list_garbage"],
    ],
    ids=",".join,
)  # fmt: skip
def test_every_record_is_taken_whatever_the_list_does(simulator, kinds):
    legs(simulator, LEGS)
    faults(simulator, *kinds)
    poll()
    assert CallRecord.objects.count() == LEGS
    assert provider.recall(polling.POLLED_UNTIL)
    strange = Difference.objects.filter(kind="malformed")
    assert strange.exists() == bool(set(kinds) - {"list_twice"})
    faults(simulator)
    assert poll() == (3 if "list_nonsense" in kinds else 0) or "list_nonsense" in kinds


def test_a_page_of_html_is_survived_and_the_next_poll_has_all(simulator):
    from simulator.faults import Faults

    legs(simulator, 5)
    rule = {"kind": "rest_error", "route": "GET /v1/calls", "status": 200, "not_json": True}
    simulator.exchange.faults = Faults([rule], 1)
    assert poll() == 0
    assert Difference.objects.get().subject == "list"
    faults(simulator)
    assert poll() == 5


def test_a_record_that_changes_long_after_its_end(simulator, monkeypatch):
    monkeypatch.setattr(polling, "PAUSE", 0.0)
    legs(simulator, 3, ago=7200)
    poll()
    next(iter(simulator.exchange.ledger.legs.values())).cost_minor = 450
    assert poll() == 0  # beyond the overlap
    assert polling.look_again("hour", at=datetime.now(UTC)) == 1
    found = Difference.objects.get(kind="changed")
    assert (found.theirs, found.ours) == ("cost 4.50", "was cost 0.15")


def test_a_back_fill_reads_days_back_and_the_sums_agree(simulator):
    at = datetime.now(UTC)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = midnight - timedelta(days=1)
    legs(simulator, 40, ago=(at - yesterday).total_seconds() - 60, apart=60)
    provider.learn(adoption.ADOPTS_SINCE, at.isoformat(), at=at)
    fill = back_fill.begin(yesterday - timedelta(days=1), at, at=at)
    while back_fill.read_slice(fill.pk, at=at):
        pass
    fill = BackFill.objects.get()
    assert (fill.state, fill.seen, fill.news) == ("done", 40, 40)
    assert CallRecord.objects.filter(call=None).count() == 40
    at = max(at, midnight + timedelta(minutes=11))
    assert stats.compare(at=at) == 0
    table = provider.recall(stats.COMPARED)["days"][-1]
    assert table["theirs"] == table["ours"] == {"total": 40, "failed": 0, "spend_minor": 600}
    CallRecord.objects.first().delete()
    assert stats.compare(at=at) == 0  # read again, it was found
    assert CallRecord.objects.count() == 40
