"""Recordings: which are wanted, fetched over real HTTP without our key, and removed in time."""

import asyncio
import errno
import threading
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from callcenter import downloads
from queues import calls, fetching, provider, recordings
from queues.models import Alert, Leg, Recording, RecordingAccess, WebhookEvent
from queues.scene import scene
from simulator import recordings as made_up
from simulator.calls import Leg as SimulatedLeg
from simulator.config import Config, Number
from simulator.phones import Behaviour
from simulator.server import Simulator
from tests.factories import (
    LINE,
    T0,
    make_offered,
    make_queue,
    make_recording,
    make_supervisor,
    make_waiting,
)

pytestmark = pytest.mark.django_db
URL = "https://api.sautikit.test/v1/calls"
SOUND = made_up.sound(1)


def later(seconds):
    return T0 + timedelta(seconds=seconds)


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    settings.STATE_DIR, settings.DISK_WARN_MB = tmp_path, 0
    provider.client_for_recordings.cache_clear()
    yield tmp_path / "recordings"
    provider.client_for_recordings.cache_clear()


@pytest.fixture
def queue():
    return make_queue(fetch_recordings=True, keep_recordings_days=30)


def talk(queue):
    """A talk of a minute that has just ended, at T0 + 60."""
    call = make_offered(queue)
    with scene(call.pk, at=T0, source="test") as opened:
        calls.connect(opened, at=T0)
    with scene(call.pk, at=later(60), source="test") as opened:
        calls.finish(opened, reason="agent hung up")
        return opened.call


@pytest.fixture
def wanted(queue):
    talk(queue)
    return Recording.objects.get()


def now(recording):
    recording.refresh_from_db()
    return recording


class TestWanted:
    def test_after_a_talk_that_of_the_callers_leg(self, queue, bells, commits):
        with commits():
            call = talk(queue)
        row = Recording.objects.get()
        assert (row.call_id, row.leg) == (call.pk, Leg.objects.get(role="customer"))
        assert (row.state, row.fetch_at) == ("wanted", later(60.8))
        assert bells.of("fetch_recordings") == [later(60.8)]

    def test_not_in_a_queue_that_does_not_want_them(self):
        talk(make_queue())
        assert not Recording.objects.exists()

    def test_not_where_nobody_talked(self, queue):
        call = make_waiting(queue)
        with scene(call.pk, at=later(60), source="test") as opened:
            calls.abandon(opened, "queue", ended_at=later(60))
        assert not Recording.objects.exists()


A = {
    "kind": "call.recording.ready", "event_id": "e1", "occurred_at": "2026-11-20T08:02:00Z",
    "data": {"recording_id": "r1", "duration_seconds": 58, "size_bytes": 9,
             "download_url": "https://evil.example.test/x.wav",
             "expires_at": "2026-11-20T09:00:00Z"},
}  # fmt: skip
B = {
    "event_kind": "call.recording.ready", "event_id": "e2",
    "payload": {"recording_duration_seconds": 58, "recording_size_bytes": 9,
                "occurred_at": "2026-11-20T08:02:00Z"},
}  # fmt: skip


class TestTheEvent:
    def post(self, phone, form, leg):
        body = {**form}
        inner = "data" if "data" in form else "payload"
        body[inner] = {**form[inner], "call_id": leg}
        return phone.post("/calls/events?token=test-webhook-token", body, as_json=True)

    @pytest.mark.parametrize("form", [A, B], ids=["A", "B"])
    def test_either_form_has_it_asked_for_at_once(self, phone, queue, form, bells, commits):
        call = make_waiting(queue)
        with commits():
            assert self.post(phone, form, call.legs.get().session_id).status_code == 200
        row = Recording.objects.get()
        event = WebhookEvent.objects.get()
        assert (row.leg, row.state, row.duration_seconds) == (call.legs.get(), "wanted", 58)
        assert row.fetch_at == event.received_at
        assert (event.call_id, event.verdict) == (call.pk, "hint")  # unsigned; only makes us ask
        assert bells.of("fetch_recordings") == [row.fetch_at]
        assert "evil" not in str(vars(row))

    def test_one_that_was_given_up_is_asked_for_again(self, phone, wanted):
        Recording.objects.update(state="missing", fetch_at=None, tries=6, error="none")
        self.post(phone, B, wanted.leg.session_id)
        assert (now(wanted).state, wanted.tries, wanted.error) == ("wanted", 0, "")

    def test_one_that_is_stored_stays_so(self, phone, wanted, storage):
        Recording.objects.all().delete()
        stored = make_recording(wanted.call, storage=storage)
        self.post(phone, B, wanted.leg.session_id)
        assert now(stored).state == "stored"

    def test_of_a_queue_that_wants_none_or_a_leg_not_ours_nothing_is_asked(self, phone):
        call = make_waiting(make_queue())
        self.post(phone, A, call.legs.get().session_id)
        self.post(phone, B, "HD_ffffffffffff")
        assert not Recording.objects.exists()
        assert WebhookEvent.objects.get(key__contains="e2").verdict == "unknown"


# --- Fetching ----------------------------------------------------------------------------------


class Files(BaseHTTPRequestHandler):
    """Answers as `server.told` says: status, headers, body."""

    def do_GET(self):
        self.server.got.append(dict(self.headers.items()))
        status, headers, body = self.server.told
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def files(settings):
    """A store of files on the API's own host, which may be on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.told, server.got = (200, {"Content-Type": "audio/wav"}, SOUND), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    settings.SAUTIKIT_API_BASE_URL = server.url
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.fixture
def asked(sautikit_api, wanted, files):
    """Say what the provider answers to the question for the recording."""
    where = f"{files.url}/v1/calls/{wanted.leg.handle}/recording"

    def answers(status, **answer):
        sautikit_api.upsert("GET", where, status=status, **answer)

    answers(302, headers={"Location": f"{files.url}/r.wav?signature=x"})
    return answers


def test_a_redirect_is_followed_without_our_key(asked, wanted, files, storage, sautikit_api):
    assert fetching.fetch_next(at=later(61))
    row = now(wanted)
    assert (row.state, row.size_bytes, row.content_type) == ("stored", len(SOUND), "audio/wav")
    assert row.remove_at == later(60) + timedelta(days=30)
    assert row.path == f"2026/11/{row.pk}.wav"
    file = storage / row.path
    assert file.read_bytes() == SOUND
    assert file.stat().st_mode & 0o777 == 0o600
    assert list((storage / recordings.UNFINISHED).iterdir()) == []
    assert sautikit_api.calls[0].request.headers["Authorization"] == "Bearer test-key"
    assert "Authorization" not in files.got[0]
    assert not fetching.fetch_next(at=later(10_000))


@pytest.mark.parametrize("name", ["download_url", "recording_url", "url"])
def test_a_url_in_json_will_do(asked, wanted, files, name):
    asked(200, json={name: f"{files.url}/r.wav"})
    fetching.fetch_next(at=later(61))
    assert now(wanted).state == "stored"


def test_404_is_asked_again_six_times_in_all_then_it_is_missing(asked, wanted):
    asked(404, json={"code": "not_found"})
    at, waits = wanted.fetch_at, [(wanted.fetch_at - later(60)).total_seconds()]
    while fetching.fetch_next(at=at):
        if now(wanted).fetch_at is None:
            break
        waits.append(round((wanted.fetch_at - at).total_seconds(), 1))
        at = wanted.fetch_at
    assert waits == [0.8, 2.4, 6.0, 8.0, 30.0, 90.0]
    assert (wanted.state, wanted.tries, wanted.error) == ("missing", 6, "Sautikit has none.")


def test_202_waits_as_long_as_it_says(asked, wanted):
    asked(202, json={"status": "pending", "retry_after_seconds": 17})
    fetching.fetch_next(at=later(61))
    assert 78 <= (now(wanted).fetch_at - T0).total_seconds() < 79
    asked(202, json={"status": "pending"})
    fetching.fetch_next(at=later(80))
    assert 110 <= (now(wanted).fetch_at - T0).total_seconds() < 111


def test_410_is_the_end_of_it(asked, wanted):
    asked(410, json={"code": "gone"})
    fetching.fetch_next(at=later(61))
    assert (now(wanted).state, wanted.fetch_at) == ("missing", None)


def test_a_provider_that_is_away_is_asked_later_and_no_breaker_opens(asked, wanted):
    asked(503)
    for n in range(8):
        Recording.objects.update(fetch_at=later(61 + n))
        fetching.fetch_next(at=later(61 + n))
    assert (now(wanted).state, wanted.tries) == ("wanted", 8)
    assert provider.standing(later(70))["breaker"] == "closed"
    assert 3600 <= (wanted.fetch_at - later(68)).total_seconds() < 3601


WAV = {"Content-Type": "audio/wav"}


@pytest.mark.parametrize(
    ("told", "state", "error"),
    [
        (
            (200, {"Content-Type": "text/html"}, b"<h1>"),
            "missing",
            "is no sound file but text/html",
        ),
        ((200, {**WAV, "Content-Length": "99000000"}, b""), "missing", "is larger than 1 MB"),
        ((200, WAV, b"x" * 1_000_001), "missing", "is larger than 1 MB"),
        ((200, {**WAV, "Content-Length": "500"}, b"RIFF"), "wanted", "was cut off"),
        ((200, WAV, b""), "wanted", "is empty"),
        ((403, WAV, b"expired"), "wanted", "answered 403"),
        ((302, {"Location": "http://127.0.0.1/"}, b""), "wanted", "answered 302"),
    ],
)
def test_what_is_no_whole_sound_file_is_not_kept(
    asked, wanted, files, storage, settings, told, state, error
):
    settings.RECORDING_MAX_MB = 1
    files.told = told
    fetching.fetch_next(at=later(61))
    assert (now(wanted).state, wanted.error) == (state, f"The file {error}.")
    assert [path for path in storage.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("kind", ["binary/octet-stream", "application/octet-stream"])
def test_a_store_without_types_is_judged_by_the_first_bytes(asked, wanted, files, kind):
    files.told = (200, {"Content-Type": kind}, b"ID3 and sound")
    fetching.fetch_next(at=later(61))
    assert (now(wanted).content_type, wanted.path[-4:]) == ("audio/mpeg", ".mp3")


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/x.wav", "https://127.0.0.1/x.wav", "http://10.0.0.1/x.wav",
        "http://169.254.169.254/latest", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_an_address_in_our_own_network_is_not_asked(asked, wanted, files, location):
    asked(302, headers={"Location": location.format(port=files.server_address[1])})
    fetching.fetch_next(at=later(61))
    assert now(wanted).state == ("wanted" if location.startswith("file") else "missing")
    assert files.got == []
    assert wanted.error


def test_a_name_that_leads_into_our_own_network_is_not_asked(asked, wanted, monkeypatch):
    monkeypatch.setattr(
        downloads.addresses, "_look_up",
        lambda host, port: [downloads.addresses.ipaddress.ip_address("10.1.2.3")],
    )  # fmt: skip
    asked(302, headers={"Location": "https://files.example.test/x.wav"})
    fetching.fetch_next(at=later(61))
    assert now(wanted).state == "missing"
    assert "10.1.2.3" in wanted.error


def test_a_full_disk_is_told_and_it_is_tried_again(asked, wanted, storage, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(fetching.os, "fsync", full)
        fetching.fetch_next(at=later(61))
    assert (now(wanted).state, wanted.tries) == ("wanted", 0)
    assert "No space left on device" in wanted.error
    assert [path for path in storage.rglob("*") if path.is_file()] == []
    assert Alert.objects.get(dismissed_at=None).kind == "recordings"
    fetching.fetch_next(at=later(700))
    assert now(wanted).state == "stored"
    assert not Alert.objects.filter(dismissed_at=None).exists()


def test_the_room_that_calls_need_is_left_alone(asked, wanted, files, settings):
    settings.DISK_WARN_MB = 10**9
    fetching.fetch_next(at=later(61))
    assert "nearly full" in now(wanted).error
    assert files.got == []


def test_while_one_worker_is_at_it_no_other_is(asked, wanted):
    assert not fetching.fetch_next(at=later(60.7))
    Recording.objects.update(fetch_at=later(61) + fetching.LEASE)  # claimed at 61
    assert not fetching.fetch_next(at=later(600))
    assert fetching.fetch_next(at=later(661))


def test_news_that_came_meanwhile_are_not_undone_by_a_failure(asked, wanted, monkeypatch):
    asked(410)
    answer = fetching.provider.client_for_recordings().recording

    def meanwhile(handle):
        recordings.ready(
            Leg.objects.select_related("call__queue").get(pk=wanted.leg_id), at=later(62)
        )
        return answer(handle)

    monkeypatch.setattr(provider.client_for_recordings(), "recording", meanwhile)
    fetching.fetch_next(at=later(61))
    assert (now(wanted).state, wanted.fetch_at) == ("wanted", later(62))


# --- With the simulator ------------------------------------------------------------------------


@contextmanager
def simulated(**switches):
    """A simulator in a thread, with one talk of 3 s; yields it, its URL and the leg."""
    config = Config(port=0, api_key="test-key")
    config.change(switches)
    loop, ready, held = asyncio.new_event_loop(), threading.Event(), {}

    async def run():
        async with Simulator(config) as simulator:
            held["simulator"], held["stop"] = simulator, asyncio.Event()
            ready.set()
            await held["stop"].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    ready.wait(10)
    simulator = held["simulator"]
    leg = SimulatedLeg("inbound", Number(LINE), LINE, "+254700000111", Behaviour())
    leg.answered_at, leg.ended_at, leg.status = leg.started_at, leg.started_at + 3, "completed"
    simulator.exchange.ledger.open(leg)
    try:
        yield simulator, leg
    finally:
        loop.call_soon_threadsafe(held["stop"].set)
        thread.join(10)
        loop.close()


@pytest.mark.acceptance  # nothing between us and the wire
@pytest.mark.parametrize("how", ["redirect", "json"])
def test_from_not_yet_to_stored_over_the_wire(queue, storage, settings, how):
    with simulated(recordings=how, recording_not_yet=2, recording_pending=1) as (simulator, leg):
        settings.SAUTIKIT_API_BASE_URL = simulator.url
        call = talk(queue)
        Leg.objects.filter(call=call, role="customer").update(session_id=leg.session_id)
        row, at, errors = Recording.objects.get(), later(61), []
        while fetching.fetch_next(at=at):
            errors.append(now(row).error)
            at = row.fetch_at or at
        assert errors == ["", "", "Sautikit is still at it.", ""]
        assert (storage / row.path).read_bytes() == made_up.sound(3)
        assert list(simulator.exchange.ledger.problems) == []


@pytest.mark.acceptance
def test_the_simulator_tells_on_whoever_shows_the_key(settings):
    with simulated() as (simulator, leg):
        settings.SAUTIKIT_API_BASE_URL = simulator.url
        import requests

        url = provider.client_for_recordings().recording(leg.call_id).url
        reply = requests.get(url, headers={"Authorization": "Bearer test-key"}, timeout=5)
        assert reply.status_code == 400
        assert simulator.exchange.ledger.problems[0]["what"] == "key_shown"


# --- Afterwards --------------------------------------------------------------------------------


def test_removed_when_its_time_is_over_and_the_row_stays(wanted, storage):
    Recording.objects.all().delete()
    row = make_recording(wanted.call, storage=storage)
    file = storage / row.path
    recordings.remove_due(at=row.remove_at - timedelta(seconds=1))
    assert file.exists()
    recordings.remove_due(at=row.remove_at)
    assert not file.exists()
    assert (now(row).state, row.removed_at, row.path) == ("removed", row.remove_at, "")


def test_a_file_that_is_gone_already_is_no_obstacle(wanted, storage):
    Recording.objects.all().delete()
    row = make_recording(wanted.call, storage=storage)
    (storage / row.path).unlink()
    recordings.remove_due(at=row.remove_at)
    assert now(row).state == "removed"


def test_who_listens_is_written_down_once_a_minute(wanted):
    sarah, peter = make_supervisor(), make_supervisor("peter")
    for seconds, user, how in [
        (0, sarah, "play"), (59, sarah, "play"), (59, peter, "play"), (59, sarah, "download"),
        (60, sarah, "play"),
    ]:  # fmt: skip
        recordings.heard(wanted.pk, user, how, at=later(seconds))
    rows = RecordingAccess.objects.order_by("at", "pk").values_list("user__username", "how")
    assert list(rows) == [
        ("sarah", "play"), ("peter", "play"), ("sarah", "download"), ("sarah", "play"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "Not there yet: Sautikit is asked for it."),
        ({"error": "Sautikit is still at it."}, "Not there yet: Sautikit is still at it. It is"),
        ({"state": "missing", "fetch_at": None, "error": "Sautikit has none."},
         "There is no recording: Sautikit has none."),
        ({"state": "removed", "fetch_at": None, "removed_at": T0}, "Removed on Nov. 20, 2026"),
        ({"state": "stored", "fetch_at": None, "path": "2026/x.wav", "stored_at": T0,
          "remove_at": T0}, "Its file is not in the storage of this machine."),
    ],
)  # fmt: skip
def test_it_is_told_in_words_how_it_stands(wanted, changes, sentence):
    Recording.objects.update(**changes)
    [shown] = recordings.shown(wanted.call)
    assert shown.sentence.startswith(sentence)
    assert not shown.is_playable
