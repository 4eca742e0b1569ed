"""Backup and restore for real: PostgreSQL's own programs on clusters of the test's own."""

import json
import os
import re
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import psycopg
import pytest

from callcenter import embedded
from callcenter.launch import ROOT, archive, backup, commands, database, dotenv, place
from callcenter.launch.backup import Centre
from callcenter.launch.place import Place
from callcenter.launch.processes import CannotStart

SNAPSHOT_OF_EVERYTHING = """
SELECT array_agg(line ORDER BY line) FROM (
    SELECT format('row %s %s', tableoid::regclass, q) AS line FROM queues_queue q
    UNION ALL SELECT format('row %s %s', tableoid::regclass, e) FROM queues_callevent e
    UNION ALL SELECT format('row %s %s', tableoid::regclass, c) FROM queues_queuedcall c
    UNION ALL SELECT format('row %s %s', tableoid::regclass, m) FROM django_migrations m
    UNION ALL SELECT format('sequence %s %s', sequencename, last_value) FROM pg_sequences
    UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname,
        pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
) everything
"""
DATA = """
INSERT INTO queues_queue (slug, name, strategy, priority, direct_dial, ring_timeout,
    wrap_up_seconds, service_level_seconds, short_abandon_seconds, max_wait_seconds, when_empty,
    language, greeting, hold_message, say_position)
  VALUES ('support', E'Café \\\\ "x"', 'linear', 0, true, 20, 30, 20, 5, 600, 'hold', 'sw-KE',
    E'Line\\nbreak', '', true);
INSERT INTO queues_queuedcall (id, public_id, direction, state, abandoned_in, end_reason, queue_id,
    menu_tries, last_digits, customer, line, priority, arrived_at, queued_at, is_provisional,
    connected_is_estimated, step, document, is_acknowledged)
  SELECT gen_random_uuid(), 'call-' || n, 'inbound', 'waiting', '', '', q.id, 0, '',
    '+254700000111', '+254200000101', 0, now(), now(), false, false, 1, '{}', false
  FROM queues_queue q, generate_series(1, 200) n;
INSERT INTO queues_callevent (call_id, at, kind, source, detail)
  SELECT id, now(), 'arrived', 'inbound', '{"n": 1}' FROM queues_queuedcall;
SELECT setval(pg_get_serial_sequence('queues_callevent', 'id'), 4711);
"""


def everything(url: str) -> list[str]:
    """Every row, sequence, constraint and index; casts, which PostgreSQL rewrites, left out."""
    with psycopg.connect(url) as connection:
        row = connection.execute(SNAPSHOT_OF_EVERYTHING).fetchone()
    assert row
    lines = [line for line in row[0] if line.startswith(("row", "sequence"))]
    rules = [line for line in row[0] if not line.startswith(("row", "sequence"))]
    return lines + sorted(re.sub(r"::[a-z ]+(\[\])?|[()]", "", rule) for rule in rules)


def migrate(url: str) -> None:
    settings = {**os.environ, **dotenv.PLACEHOLDERS, "DOTENV": "off", "DATABASE_URL": url}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"],
        cwd=ROOT, env=settings, check=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def module_patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def var(tmp_path_factory, module_patch) -> Path:
    """A `var/` of the test's own, whatever runs in the real one."""
    root = tmp_path_factory.mktemp("centre")
    for closed in (root, *root.parents[:2]):
        closed.chmod(0o711)
    module_patch.setattr(place, "VAR", root / "var")
    module_patch.setattr(backup, "VAR", root / "var")
    module_patch.setattr(backup, "_ENV", root / ".env")
    (root / ".env").write_text("SECRET_KEY=of-the-first-machine\n")
    return root / "var"


@pytest.fixture(scope="module")
def centre(var) -> Centre:
    """A centre that does not run, with calls in it."""
    run = Place("run")
    run.make()
    server = embedded.start_postgres(run.directory / "postgres", fast=True)
    migrate(server.url)
    with psycopg.connect(server.url) as connection:
        connection.execute(DATA)
    server.stop()
    (run.directory / "secret-key").write_text("kept through a restore")
    return Centre(run, {})


@pytest.fixture(scope="module")
def before(centre) -> list[str]:
    """What the database holds, row by row."""
    server = embedded.start_postgres(centre.place.directory / "postgres", fast=True)
    found = everything(server.url)
    server.stop()
    assert len(found) > 500
    return found


@pytest.fixture(scope="module")
def saved(centre, before) -> Path:
    return backup.backup(centre, None)


@pytest.fixture
def elsewhere(var, tmp_path, monkeypatch) -> Centre:
    """Another machine: an empty place."""
    for closed in (tmp_path, *tmp_path.parents[:2]):
        closed.chmod(0o711)
    monkeypatch.setattr(place, "VAR", tmp_path / "var")
    monkeypatch.setattr(backup, "_ENV", tmp_path / ".env")
    return Centre(Place("run"), {})


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name not in {"lock", "restore.log"}
    }


# --- Backup ------------------------------------------------------------------------------------


def test_a_backup_is_private_and_says_what_it_is(saved, centre):
    assert re.fullmatch(r"callcenter-run-\d{8}T\d{6}Z\.backup", saved.name)
    assert saved.stat().st_mode & 0o777 == 0o600
    assert saved.parent.stat().st_mode & 0o077 == 0
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    manifest = archive.Backup.read(saved).manifest
    assert manifest["format"] == 1
    assert manifest["rows"]["public.queues_queuedcall"] == 200
    assert manifest["sequences"]["public.queues_callevent_id_seq"] == 4711
    assert "queues.0001_initial" in manifest["migrations"]
    assert manifest["is_embedded"]


def test_any_tar_opens_it_and_sha256sum_checks_it(saved, tmp_path):
    subprocess.run(["tar", "xf", saved], cwd=tmp_path, check=True)
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) >= {"database.dump:", "manifest.json:", "env:"}
    assert (tmp_path / "kept/secret-key").read_text() == "kept through a restore"


def test_a_running_centre_is_backed_up_as_of_one_instant(centre, before, tmp_path):
    with centre.place.claimed():
        server = embedded.start_postgres(centre.place.directory / "postgres", fast=True)
        try:
            centre.place.services.write_text(
                json.dumps({"environment": {"DATABASE_URL": server.url}})
            )
            running = database.Database(server.url)
            with running.instant() as facts:
                with psycopg.connect(server.url, autocommit=True) as connection:
                    connection.execute(
                        "INSERT INTO queues_alert (kind, subject, text, count, first_at, last_at)"
                        " VALUES ('late', '', '', 1, now(), now())"
                    )
                with running.dump(facts) as dump:
                    late = dump.read()
            found = backup.backup(centre, tmp_path)
            with psycopg.connect(server.url, autocommit=True) as connection:
                connection.execute("DELETE FROM queues_alert")
        finally:
            server.stop()
            centre.place.services.unlink()
    assert archive.Backup.read(found).manifest["rows"]["public.queues_alert"] == 1
    assert facts.rows["public.queues_alert"] == 0
    (tmp_path / "late").write_bytes(late)
    table = subprocess.run(
        [embedded.postgres_program("pg_restore"), "-a", "-t", "queues_alert", "-f", "-",
         tmp_path / "late"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "late" not in table.stdout


def test_only_the_newest_so_many_are_kept_and_nothing_else_is_touched(centre, before, tmp_path):
    for name in (
        "callcenter-run-20260101T000000Z.backup", "callcenter-run-20260102T000000Z.backup",
        "callcenter-demo-20250101T000000Z.backup", "letter.txt",
    ):  # fmt: skip
        (tmp_path / name).write_text("old")
    new = backup.backup(centre, tmp_path, keep=2)
    assert {path.name for path in tmp_path.iterdir()} == {
        new.name, "callcenter-run-20260102T000000Z.backup",
        "callcenter-demo-20250101T000000Z.backup", "letter.txt",
    }  # fmt: skip
    with pytest.raises(CannotStart, match="goes with a directory"):
        backup.backup(centre, tmp_path / "one.backup", keep=2)


def test_no_file_is_written_over(centre, tmp_path):
    (tmp_path / "mine.backup").write_text("precious")
    with pytest.raises(CannotStart, match=r"There is a file .* already"):
        backup.backup(centre, tmp_path / "mine.backup")
    assert files(tmp_path) == {"mine.backup": b"precious"}


def test_a_disk_that_fills_up_meanwhile_leaves_no_half_file(centre, before, tmp_path, monkeypatch):
    small = resource.getrlimit(resource.RLIMIT_FSIZE)
    wrote = archive.Writer.stream

    def limited(self, name, read):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, small[1]))  # EFBIG, as ENOSPC elsewhere
        try:
            return wrote(self, name, read)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, small)

    monkeypatch.setattr(archive.Writer, "stream", limited)
    with pytest.raises(OSError, match="File too large"):
        backup.backup(centre, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_nearly_full_disk_is_a_sentence_before_anything_is_written(
    centre, before, tmp_path, monkeypatch
):
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=10_000_000)
    monkeypatch.setattr("callcenter.launch.environment.shutil.disk_usage", lambda _: usage)
    with pytest.raises(CannotStart, match=r"nearly full: 10 MB are free and this takes \d+ MB"):
        backup.backup(centre, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_back_up_is_a_sentence(elsewhere, tmp_path):
    with pytest.raises(CannotStart, match="There is nothing to back up"):
        backup.backup(elsewhere, None)


def test_a_server_of_ones_own_is_backed_up_by_its_url_and_its_password_is_not_shown(tmp_path):
    url = "postgres://me:s%40crt@db.example:5433/cc?sslmode=require"
    assert database._without_password(url) == (
        "postgres://me@db.example:5433/cc?sslmode=require", "s@crt",
    )  # fmt: skip
    with pytest.raises(CannotStart, match="names no PostgreSQL server"):
        backup.backup(Centre(Place("run"), {"DATABASE_URL": "mysql://x"}), tmp_path)
    away = Centre(Place("run"), {"DATABASE_URL": "postgres://me:pw@127.0.0.1:1/cc"})
    with pytest.raises(CannotStart, match="The database cannot be read") as problem:
        backup.backup(away, tmp_path)
    assert "pw" not in str(problem.value)
    assert list(tmp_path.iterdir()) == []


# --- Restore -----------------------------------------------------------------------------------


def test_on_an_empty_machine_everything_is_as_it_was(saved, before, elsewhere):
    backup.restore(elsewhere, saved)
    directory = elsewhere.place.directory
    server = embedded.start_postgres(directory / "postgres", fast=True)
    try:
        assert everything(server.url) == before
        with (
            psycopg.connect(server.url) as connection,
            pytest.raises(psycopg.errors.CheckViolation),
        ):
            connection.execute("UPDATE queues_queuedcall SET ended_at = now()")
    finally:
        server.stop()
    assert (directory / "secret-key").read_text() == "kept through a restore"
    assert (directory / "secret-key").stat().st_mode & 0o777 == 0o600
    assert (directory.parents[1] / ".env").read_text() == "SECRET_KEY=of-the-first-machine\n"
    assert not [path for path in directory.iterdir() if "restor" in path.name]


def test_present_data_are_replaced_only_on_request_and_kept_aside(saved, before, elsewhere):
    directory = elsewhere.place.directory
    elsewhere.place.make()
    server = embedded.start_postgres(directory / "postgres", fast=True)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE present AS SELECT 1 AS one")
    server.stop()
    (directory / "secret-key").write_text("the present one")
    present = files(directory)
    with pytest.raises(CannotStart, match=r"--replace. sets them aside"):
        backup.restore(elsewhere, saved)
    assert files(directory) == present
    backup.restore(elsewhere, saved, replace=True)
    [aside] = directory.glob("postgres.before-*")
    server = embedded.start_postgres(aside, fast=True)
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT one FROM present").fetchone() == (1,)
    server.stop()
    [old_key] = directory.glob("secret-key.before-*")
    assert old_key.read_text() == "the present one"
    server = embedded.start_postgres(directory / "postgres", fast=True)
    assert everything(server.url) == before
    server.stop()


def test_a_running_centre_is_not_restored_over(saved, elsewhere):
    with (
        elsewhere.place.claimed("http://127.0.0.1:8000"),
        pytest.raises(CannotStart, match=r"wants the centre stopped\. .* up\.py down run"),
    ):
        backup.restore(elsewhere, saved, replace=True)


def damaged(saved: Path, path: Path, how: str) -> Path:
    whole = saved.read_bytes()
    if how == "cut off":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "without its end":
        path.write_bytes(whole[: whole.index(b"SHA256SUMS")])
    elif how == "a bit is wrong":
        spoilt = bytearray(whole)
        spoilt[len(whole) // 3] ^= 1
        path.write_bytes(spoilt)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("Dear all,\n" * 1000)
    elif how == "another tar":
        with tarfile.open(path, "w") as tar:
            tar.add(saved, "photo.jpg")
    elif how == "a directory":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("cut off", "is damaged or cut off"),
        ("without its end", "is damaged or cut off"),
        ("a bit is wrong", "is damaged or cut off"),
        ("empty", "is no backup of the call centre"),
        ("text", "is no backup of the call centre"),
        ("another tar", "is no backup of the call centre"),
        ("a directory", "cannot be read"),
        ("nothing", "There is no file"),
    ],
)
def test_a_file_that_cannot_be_restored_is_a_sentence_and_changes_nothing(
    saved, elsewhere, tmp_path, how, sentence
):
    path = damaged(saved, tmp_path / "bad.backup", how)
    with pytest.raises(CannotStart, match=sentence):
        backup.restore(elsewhere, path, replace=True)
    assert not elsewhere.place.directory.exists()


def remade(saved: Path, path: Path, **changes: object) -> Path:
    """The same backup with another manifest, and checksums that fit."""
    found = archive.Backup.read(saved)
    writer = archive.Writer(path)
    for name in sorted(found.parts - {"manifest.json"}):
        writer.add(name, found.text(name))
    writer.finish({**found.manifest, **changes})
    return path


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"format": 2, "version": "9.0"}, r"by a newer version of the call centre \(9.0\)"),
        ({"migrations": ["queues.9999_later"]}, "queues.9999_later is not known here"),
        ({"programs": 99}, "was made with PostgreSQL 99, and ours is 18"),
    ],
)
def test_a_newer_backup_is_a_sentence_and_changes_nothing(
    saved, elsewhere, tmp_path, monkeypatch, changes, sentence
):
    with monkeypatch.context() as patch:  # the test writes what only a newer version can
        patch.setattr(archive, "FORMAT", 99)
        path = remade(saved, tmp_path / "newer.backup", **changes)
    with pytest.raises(CannotStart, match=sentence):
        backup.restore(elsewhere, path, replace=True)
    assert not elsewhere.place.directory.exists()


def test_what_does_not_come_back_as_it_was_replaces_nothing(saved, elsewhere, tmp_path):
    rows = {**archive.Backup.read(saved).manifest["rows"], "public.queues_queuedcall": 201}
    path = remade(saved, tmp_path / "odd.backup", rows=rows)
    elsewhere.place.make()
    (elsewhere.place.directory / "postgres").mkdir()
    (elsewhere.place.directory / "postgres" / "kept").write_text("x")
    with pytest.raises(CannotStart, match=r"not what was backed up \(public.queues_queuedcall\)"):
        backup.restore(elsewhere, path, replace=True)
    assert files(elsewhere.place.directory) == {"postgres/kept": b"x"}
    assert not (elsewhere.place.directory / backup.RESTORING).exists()


def test_a_restore_that_was_cut_off_before_its_last_step_is_finished_by_the_next_start(elsewhere):
    elsewhere.place.make()
    restored = elsewhere.place.directory / backup.RESTORED
    restored.mkdir()
    (restored / "PG_VERSION").write_text("18\n")
    backup.finish_swap(elsewhere.place)
    assert (elsewhere.place.directory / "postgres/PG_VERSION").exists()
    restored.mkdir()
    backup.finish_swap(elsewhere.place)  # data are there: they stay
    assert restored.exists()


def test_the_settings_of_this_machine_win_over_those_of_the_backup(
    saved, elsewhere, tmp_path, capsys
):
    (tmp_path / ".env").write_text("SECRET_KEY=of-this-machine\n")
    elsewhere.place.make()
    backup._put_kept_files(elsewhere, archive.Backup.read(saved))
    assert (tmp_path / ".env").read_text() == "SECRET_KEY=of-this-machine\n"
    assert "tar xOf" in capsys.readouterr().out


def test_a_server_of_ones_own_is_filled_only_while_it_is_empty(saved, before, elsewhere, tmp_path):
    server = embedded.start_postgres(tmp_path / "own", fast=True)
    try:
        own = Centre(Place("run"), {"DATABASE_URL": server.url})
        backup.restore(own, saved)
        assert everything(server.url) == before
        with pytest.raises(CannotStart, match="is not empty, and on a server of your own"):
            backup.restore(own, saved, replace=True)
        assert everything(server.url) == before
        again = backup.backup(own, tmp_path / "own.backup")
    finally:
        server.stop()
    assert not archive.Backup.read(again).manifest["is_embedded"]


# --- The commands ------------------------------------------------------------------------------


def test_the_commands_read_their_words(monkeypatch, capsys):
    asked: list[object] = []
    monkeypatch.setattr(commands.signal, "signal", lambda *_: None)
    monkeypatch.setattr(commands, "_centre", lambda name, _, demo: (name, demo))
    monkeypatch.setattr(
        commands.backup, "backup", lambda c, path, keep: asked.append((c, path, keep))
    )
    monkeypatch.setattr(
        commands.backup, "restore", lambda c, path, replace: asked.append((c, path, replace))
    )
    assert commands.main(["backup"]) == 0
    assert commands.main(["backup", "--keep", "7", "--demo"]) == 0
    assert commands.main(["restore", "--replace", "x.backup"]) == 0
    assert commands.main(["backup", "--keep", "0"]) == 1
    assert asked == [
        (("backup", False), None, None),
        (("backup", True), None, 7),
        (("restore", False), Path.cwd() / "x.backup", True),
    ]
    assert "--keep wants a number" in capsys.readouterr().out
