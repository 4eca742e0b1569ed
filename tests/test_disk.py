"""A disk that fills up: told before it happens, lived through, and recovered from."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from callcenter import disk
from callcenter.disk import Space
from callcenter.launch import ROOT, console, place, processes, stack
from callcenter.launch.place import Address, Place
from callcenter.launch.processes import Child, Signals, Stopped
from tests.factories import make_supervisor

GB = 10**9


# --- A real one --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """Let a call centre run into the end of a disk of its own; return what it tells."""

    def run(what: str):
        directory = tmp_path_factory.mktemp(what)
        for closed in (directory, *directory.parents[:2]):
            closed.chmod(0o711)
        (directory / "disk").mkdir()
        done = subprocess.run(
            ["unshare", "-m", sys.executable, "-m", "tests.full_disk", directory / "disk", what],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("only root can mount a small disk")
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    return run


@pytest.mark.parametrize("what", ["rows", "journal"])
def test_callers_are_answered_nothing_is_lost_and_it_recovers_by_itself(lived, what):
    told = lived(what)
    assert "No space left on device" in told["server_error"]
    assert [reply["verbs"][2] for reply in told["before"]] == ["conference"] * 3
    assert {reply["status"] for reply in told["full"]} == {200}
    plans = [reply["verbs"] for reply in told["full"]]
    assert ["say", "getDigits", "redirect"] in plans  # the static plan
    assert max(reply["took"] for reply in told["full"]) < 5  # 1 s, but tests share the machine
    assert "conference" in told["again"]["verbs"]
    held = [
        f"+2547000{10 + n:05}" for n, verbs in enumerate(plans) if "conference" in verbs
    ]  # fmt: skip
    assert set(told["after"]) == {*told["acknowledged"], *held, "+254700000010"}


# --- Told before -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "files_left", "level"),
    [
        (5 * GB, None, "ok"), (5 * GB, 10**6, "ok"), (GB - 1, 10**6, "nearly full"),
        (5 * GB, 999, "nearly full"), (49_000_000, 10**6, "full"), (5 * GB, 0, "full"),
    ],
)  # fmt: skip
def test_how_full_a_disk_is(free, files_left, level):
    assert Space(Path("/"), free, 100 * GB, files_left).level() == level


def test_the_limit_can_be_set():
    assert Space(Path("/"), 3 * GB, 9 * GB).level(4000) == "nearly full"
    assert Space(Path("/"), 3 * GB, 9 * GB).level(0) == "ok"


def test_each_disk_is_looked_at_once_and_what_is_not_there_is_none(tmp_path):
    (tmp_path / "postgres").mkdir()
    [found] = disk.spaces(disk.written_to(tmp_path))
    assert found.directory == tmp_path
    assert found.free == pytest.approx(shutil.disk_usage(tmp_path).free, abs=GB)
    assert disk.spaces([tmp_path / "nowhere"]) == []


@pytest.fixture
def nearly_full(monkeypatch):
    space = Space(Path("/data"), 312_000_000, 100 * GB, 5000)
    monkeypatch.setattr(disk, "spaces", lambda _: [space])


@pytest.mark.django_db
def test_health_and_metrics_tell(client, nearly_full):
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["disk"]) == (200, "nearly full")
    assert 'callcenter_disk_free_bytes{directory="data"} 312000000' in (
        client.get("/metrics").content.decode()
    )


@pytest.mark.django_db
def test_health_tells_of_a_disk_that_is_fine(client):
    assert client.get("/health/ready").json()["disk"] in {"ok", "nearly full"}


@pytest.mark.django_db
def test_the_wallboard_tells_without_writing_anything(
    client, nearly_full, django_assert_max_num_queries
):
    client.force_login(make_supervisor())
    page = client.get("/").content.decode()
    assert "The disk that holds /data is nearly full: 312 MB and 5000 files are left." in page
    [alert] = client.get("/api/live/").json()["alerts"]
    assert (alert["id"], alert["kind"]) == (None, "disk")


# --- The launcher ------------------------------------------------------------------------------


class Once(Signals):
    """Stops the watch after one look."""

    def __init__(self) -> None:
        self.stops, self.hurry, self.reload = 0, False, False

    def pause(self, _: float) -> None:
        raise Stopped

    def wait(self, _: float) -> None:
        pass


@pytest.fixture
def running(tmp_path, monkeypatch) -> stack.Stack:
    monkeypatch.setattr(place, "VAR", tmp_path / "var")
    Place("demo").make()
    return stack.Stack(Place("demo"), Address("127.0.0.1", 8000), {}, Once())


def test_the_console_is_told_once_in_a_while(running, nearly_full, capsys, monkeypatch):
    for _ in range(3):
        with pytest.raises(Stopped):
            running._watch()
    assert capsys.readouterr().out.count("is nearly full: 312 MB") == 1
    monkeypatch.setattr(stack, "_SAY_AGAIN", 0)
    running._look_at_the_disk()
    assert "is nearly full" in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["", "0", "many", "500"])
def test_no_setting_of_the_limit_ends_the_watch(running, limit):
    running.settings = {"DISK_WARN_MB": limit}
    running._look_at_the_disk()


def test_a_child_that_cannot_be_started_on_a_full_disk_is_tried_again_later(
    running, capsys, monkeypatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/data/services.new")

    child = Child("worker", [sys.executable, "-c", "pass"], running.place.log("worker"))
    monkeypatch.setattr(running, "_write_services", full)
    running._start_again(child)
    assert "The disk is full (/data/services.new)" in capsys.readouterr().out
    child.kill()


def test_a_log_is_cut_where_there_is_no_room_for_its_old_part(tmp_path, monkeypatch):
    def full(_: Path, old: Path) -> None:
        old.write_text("half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(processes, "_LOG_LIMIT", 10)
    monkeypatch.setattr(processes.shutil, "copyfile", full)
    log = tmp_path / "web.log"
    log.write_text("a line that is longer")
    processes.trim(log)
    assert (log.read_text(), list(tmp_path.iterdir())) == ("", [log])


def test_what_a_full_disk_says_is_a_sentence():
    assert console.sentence(OSError(28, "No space left on device", "/x")) == (
        "The disk is full (/x): free some space and start again."
    )
