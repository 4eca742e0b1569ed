"""Playing a recording: parts of a file, who may, and what is written down."""

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.urls import reverse

from callcenter import asgi, ranges
from callcenter.ranges import NotSatisfiable
from queues.models import RecordingAccess
from reporting import views_recordings
from tests.factories import make_agent, make_queue, make_recording, make_supervisor, make_waiting

pytestmark = pytest.mark.django_db
SOUND = bytes(range(256)) * 1000


@pytest.fixture
def recording(settings, tmp_path):
    settings.STATE_DIR = tmp_path
    return make_recording(make_waiting(make_queue()), storage=tmp_path / "recordings", sound=SOUND)


@pytest.fixture
def url(recording):
    return reverse("recording", args=[recording.call.public_id, recording.pk])


@pytest.fixture
def sarah():
    client = Client()
    client.force_login(make_supervisor())
    return client


def body(reply):
    return b"".join(reply.streaming_content)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("", None), ("bytes=0-", (0, 100)), ("bytes=0-0", (0, 1)), ("bytes=10-19", (10, 20)),
        ("bytes=90-500", (90, 100)), ("bytes=-10", (90, 100)), ("bytes=-500", (0, 100)),
        ("Bytes= 5-6 ", (5, 7)), ("bytes=20-10", None), ("bytes=0-1,5-6", None),
        ("bytes=-", None), ("bytes=a-b", None), ("items=0-1", None), ("bytes=99-", (99, 100)),
    ],
)  # fmt: skip
def test_the_part_that_a_range_asks_for(said, asked):
    assert ranges.part(said, 100) == asked


@pytest.mark.parametrize("said", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_part_beyond_the_end(said):
    with pytest.raises(NotSatisfiable):
        ranges.part(said, 100)


class TestTheSound:
    def test_whole(self, url, sarah):
        reply = sarah.get(url)
        assert (reply.status_code, body(reply)) == (200, SOUND)
        assert reply["Content-Type"] == "audio/wav"
        assert reply["Content-Length"] == "256000"
        assert reply["Accept-Ranges"] == "bytes"
        assert reply["Cache-Control"] == "private, no-store"
        assert reply["X-Content-Type-Options"] == "nosniff"

    def test_a_part(self, url, sarah):
        reply = sarah.get(url, headers={"Range": "bytes=100000-199999"})
        assert (reply.status_code, body(reply)) == (206, SOUND[100000:200000])
        assert reply["Content-Range"] == "bytes 100000-199999/256000"
        assert reply["Content-Length"] == "100000"

    def test_beyond_the_end(self, url, sarah):
        reply = sarah.get(url, headers={"Range": "bytes=256000-"})
        assert (reply.status_code, reply["Content-Range"]) == (416, "bytes */256000")

    def test_a_part_of_another_file_is_the_whole_of_this_one(self, url, sarah):
        etag = sarah.head(url)["ETag"]
        same = {"Range": "bytes=0-9", "If-Range": etag}
        assert sarah.get(url, headers=same).status_code == 206
        assert sarah.get(url, headers={**same, "If-Range": '"another"'}).status_code == 200

    def test_head_says_what_there_is_and_is_no_listening(self, url, sarah):
        reply = sarah.head(url)
        assert (reply.status_code, reply.content, reply["Content-Length"]) == (200, b"", "256000")
        assert not RecordingAccess.objects.exists()

    def test_download_has_a_name(self, url, sarah, recording):
        reply = sarah.get(f"{url}?download")
        assert reply["Content-Disposition"] == (
            f'attachment; filename="2026-11-20-1100-{recording.pk}.wav"'
        )

    def test_through_the_asynchronous_handler_too(self, url, recording, monkeypatch):
        client, user = AsyncClient(), make_supervisor("aisha")
        monkeypatch.setattr(views_recordings, "leave_no_connection", lambda: None)

        async def listen():
            await client.aforce_login(user)
            reply = await client.get(url, headers={"Range": "bytes=256-"})
            assert reply.is_async
            return reply.status_code, b"".join([piece async for piece in reply.streaming_content])

        assert async_to_sync(listen)() == (206, SOUND[256:])
        assert asgi._lasts(url)
        assert not asgi._lasts("/calls-log/HD_1/")


class TestWhoMay:
    def test_supervisors_and_it_is_written_down_before_a_byte_is_sent(self, url, sarah, recording):
        for start in (0, 1000, 2000):
            sarah.get(url, headers={"Range": f"bytes={start}-"})
        sarah.get(f"{url}?download")
        rows = recording.accesses.values_list("user__username", "how")
        assert sorted(rows) == [("sarah", "download"), ("sarah", "play")]

    def test_not_the_agent_who_talked(self, url, recording):
        client = Client()
        client.force_login(make_agent().user)
        assert client.get(url).status_code == 403
        assert not RecordingAccess.objects.exists()

    def test_not_under_another_call(self, sarah, recording):
        other = make_waiting(make_queue("sales", number=None))
        url = reverse("recording", args=[other.public_id, recording.pk])
        assert sarah.get(url).status_code == 404

    def test_what_was_removed_is_not_there(self, url, sarah, recording, settings):
        (settings.STATE_DIR / "recordings" / recording.path).unlink()
        assert sarah.get(url).status_code == 404

    def test_no_path_leads_out_of_the_storage(self, url, sarah, recording, settings):
        (settings.STATE_DIR / "secret-key").write_text("hush")
        type(recording).objects.update(path="../secret-key")
        assert sarah.get(url).status_code == 404


def test_the_api_has_it_in_the_detail_of_the_call(recording, sarah):
    call = recording.call
    told = sarah.get(f"/api/calls/{call.public_id}/").json()["recordings"]
    url = f"https://calls.example.test/calls-log/{call.public_id}/recordings/{recording.pk}/"
    assert told == [
        {
            "id": str(recording.pk), "leg": call.legs.get().session_id, "status": "stored",
            "error": "", "content_type": "audio/wav", "size_bytes": 256000,
            "duration_seconds": None, "stored_at": "2026-11-20T11:00:00+03:00",
            "remove_at": "2027-02-18T11:00:00+03:00", "removed_at": None, "url": url,
        }
    ]  # fmt: skip


def test_the_part_of_the_call_page(recording, sarah, url, rf):
    from django.template.loader import render_to_string

    from queues import recordings

    sarah.get(url)
    shown = {"recordings": recordings.shown(recording.call), "call": recording.call}
    html = render_to_string("reporting/_recordings.html", shown)
    assert f'<audio controls preload="none" src="{url}"' in html
    assert "It is removed on Feb. 18, 2027." in html
    assert "sarah, played" in html
    assert "style=" not in html
