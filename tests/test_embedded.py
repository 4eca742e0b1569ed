"""The embedded servers, for real: as whoever runs the tests."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from callcenter import embedded
from callcenter.launch import ROOT
from callcenter.launch.processes import CannotStart, started_at


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster with one row in it; making one takes most of a second."""
    directory = tmp_path_factory.mktemp("embedded")
    for closed in (directory, *directory.parents[:2]):
        closed.chmod(0o711)  # `nobody` may have to get through
    server = embedded.start_postgres(directory / "postgres", fast=True)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'a caller' AS what")
    server.stop()
    return directory / "postgres"


def kept(server: embedded.Server) -> str:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT what FROM kept").fetchone()
    assert row
    return row[0]


def gone(pid: int, seconds: float = 10) -> bool:
    began = time.monotonic()
    while started_at(pid) and time.monotonic() - began < seconds:
        time.sleep(0.05)
    return not started_at(pid)


def test_postgres_keeps_its_data_and_leaves_no_process_and_no_pid_file(data_dir):
    server = embedded.start_postgres(data_dir, fast=True)
    assert kept(server) == "a caller"
    server.stop()
    assert gone(server.child.pid, 0)
    assert not (data_dir / "postmaster.pid").exists()


def test_postgres_listens_on_a_private_socket_only(data_dir):
    server = embedded.start_postgres(data_dir, fast=True)
    try:
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
            (socket_dir,) = connection.execute("SHOW unix_socket_directories").fetchone()
        assert Path(socket_dir).stat().st_mode & 0o077 == 0
    finally:
        server.stop()


def test_postgres_starts_again_after_kill_9(data_dir):
    server = embedded.start_postgres(data_dir, fast=True)
    server.child.kill()
    assert (data_dir / "postmaster.pid").exists()
    server.child.start()  # as the supervisor does
    server.stop()
    server = embedded.start_postgres(data_dir, fast=True)
    assert kept(server) == "a caller"
    server.stop()


def test_a_pid_file_that_names_another_process_does_not_keep_postgres_from_starting(data_dir):
    (data_dir / "postmaster.pid").write_text(f"{os.getpid()}\n{data_dir}\n")
    server = embedded.start_postgres(data_dir, fast=True)
    assert kept(server) == "a caller"
    server.stop()


def test_postgres_dies_with_the_process_that_started_it(data_dir):
    if sys.platform != "linux":
        pytest.skip("needs PR_SET_PDEATHSIG")
    program = (
        "import sys, pathlib, time\n"
        "from callcenter import embedded\n"
        f"print(embedded.start_postgres(pathlib.Path({str(data_dir)!r})).child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    assert gone(pid)
    server = embedded.start_postgres(data_dir, fast=True)
    assert kept(server) == "a caller"
    server.stop()


def test_a_long_path_gets_a_short_socket_directory(data_dir, tmp_path):
    deep = tmp_path.joinpath(*["a-directory-with-a-long-name"] * 4)
    deep.mkdir(parents=True)
    for closed in deep.parents[:5]:
        closed.chmod(0o711)
    data_dir.rename(deep / "postgres")
    try:
        server = embedded.start_postgres(deep / "postgres", fast=True)
        socket_dir = Path(server.url.partition("host=")[2])
        assert kept(server) == "a caller"
        assert len(str(socket_dir)) < 90
        server.stop()
        socket_dir.rmdir()
    finally:
        (deep / "postgres").rename(data_dir)


def test_an_interrupted_start_leaves_neither_a_process_nor_half_a_cluster(tmp_path):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedded.start_postgres(tmp_path / "postgres", fast=True, pause=interrupt)
    assert not (tmp_path / "postgres").exists()
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert str(tmp_path) not in running.stdout


def test_data_of_another_version_is_refused_by_name_and_left_alone(data_dir):
    version = data_dir / "PG_VERSION"
    ours = version.read_text()
    version.write_text("14\n")
    try:
        with pytest.raises(CannotStart, match="was made by PostgreSQL 14, and installed is 18"):
            embedded.start_postgres(data_dir, fast=True)
        assert version.read_text() == "14\n"
    finally:
        version.write_text(ours)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ("global/pg_control", "gone"), ("pg_wal", "gone"), ("postgresql.conf", "gone"),
        ("PG_VERSION", "empty"), ("global/pg_control", "empty"),
    ],
)  # fmt: skip
def test_data_that_lost_a_part_say_so_and_what_helps(data_dir, part, what):
    kept = data_dir / part
    aside = data_dir.with_name("aside")
    kept.rename(aside)
    if what == "empty":
        kept.write_bytes(b"")
    try:
        with pytest.raises(CannotStart, match=rf"damaged \({part} is .*up.py restore --replace"):
            embedded.start_postgres(data_dir, fast=True)
    finally:
        kept.unlink(missing_ok=True)
        aside.rename(kept)


def test_data_that_others_may_read_are_a_sentence(data_dir):
    data_dir.chmod(0o755)
    try:
        with pytest.raises(CannotStart, match=r"is open to others, .* `chmod 700 "):
            embedded.start_postgres(data_dir, fast=True)
    finally:
        data_dir.chmod(0o700)


def test_a_machine_without_nobody_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr("callcenter.launch.cluster.os.geteuid", lambda: 0)
    monkeypatch.setattr("callcenter.launch.cluster.pwd.getpwnam", {}.__getitem__)
    with pytest.raises(CannotStart, match="there is no user `nobody` here"):
        embedded._identity(Path("postgres"), tmp_path)


def test_a_half_made_cluster_of_a_crash_is_made_anew(tmp_path):
    for closed in (tmp_path, *tmp_path.parents[:2]):
        closed.chmod(0o711)
    (tmp_path / "postgres.new" / "base").mkdir(parents=True)
    (tmp_path / "postgres").mkdir()
    server = embedded.start_postgres(tmp_path / "postgres", fast=True)
    server.stop()
    assert not (tmp_path / "postgres.new").exists()


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "letter.txt").write_text("Dear all")
    with pytest.raises(CannotStart, match="no PostgreSQL data directory"):
        embedded.start_postgres(tmp_path / "postgres", fast=True)
    assert (tmp_path / "postgres" / "letter.txt").read_text() == "Dear all"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a stranger's directory")
def test_data_of_another_user_is_refused_with_the_name(tmp_path):
    (tmp_path / "postgres").mkdir()
    os.chown(tmp_path / "postgres", 1, 1)
    with pytest.raises(CannotStart, match="belongs to the user daemon: start as that user"):
        embedded.start_postgres(tmp_path / "postgres", fast=True)


def test_valkey_wants_its_password_and_keeps_what_it_was_told_through_kill_9(tmp_path):
    server = embedded.start_valkey(tmp_path / "valkey")
    with redis.Redis.from_url(server.url) as client:
        client.set("bell", "rung")
    with (
        redis.Redis.from_url("redis://" + server.url.rpartition("@")[2]) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.get("bell")
    server.child.kill()
    server = embedded.start_valkey(tmp_path / "valkey")
    with redis.Redis.from_url(server.url) as client:
        assert client.get("bell") == b"rung"
    server.stop()
    assert gone(server.child.pid, 0)
    assert (tmp_path / "valkey" / "valkey.conf").stat().st_mode & 0o077 == 0


def test_a_missing_package_says_which_setting_helps(monkeypatch):
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(CannotStart, match="or set REDIS_URL to a server of your own"):
        embedded.start_valkey(Path("/nonexistent"))
