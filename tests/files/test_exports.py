"""Exports: asked for, written by whichever worker has it, taken away, removed after a week."""

import errno
import io
import zipfile
from datetime import timedelta

import openpyxl
import pytest
from django.contrib.auth.models import User

from reporting.files import exports, lines, long_tables, xlsx
from reporting.files.tables import TABLES
from reporting.files.xlsx import Book
from reporting.models import Download, Export
from tests.factories import make_supervisor

from .conftest import AT, DAY, waiting
from .test_same_numbers import asked_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def export(morning, boss):
    return asked(boss)


def asked(boss, table="calls", query=DAY):
    before = list(Export.objects.values_list("pk", flat=True))
    boss.post(f"/reports/files/?{query}", {"table": table})
    return Export.objects.exclude(pk__in=before).first()


def later(seconds):
    return AT + timedelta(seconds=seconds)


def again(export):
    export.refresh_from_db()
    return export


def write(export, at=AT):
    exports.write(export.pk, lambda: at)
    return again(export)


class TestAsking:
    def test_it_waits_and_a_bell_is_rung(self, boss, bells, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            export = asked(boss)
        assert (export.state, export.report, export.zone) == ("wanted", "calls", "Africa/Nairobi")
        assert export.requested_by.username == "sarah"
        assert bells.rung == [("export",)]

    def test_a_table_that_does_not_exist_is_told(self, boss):
        reply = boss.post(f"/reports/files/?{DAY}", {"table": "secrets"}, follow=True)
        assert "Choose a table." in reply.content.decode()
        assert not Export.objects.exists()

    def test_nobody_waits_for_more_than_ten(self, morning, boss):
        for _ in range(12):
            asked(boss)
        assert Export.objects.count() == 10
        assert "10 files already" in boss.get("/reports/files/").content.decode()


class TestWriting:
    def test_done_it_has_a_file_and_a_last_day(self, export, place):
        write(export)
        assert (export.state, export.rows_done, export.rows_total) == ("done", 6, 6)
        assert (place / "exports" / export.path).stat().st_size == export.size_bytes
        assert export.remove_at == AT + timedelta(days=7)
        assert list((place / "exports" / ".unfinished").iterdir()) == []

    def test_two_workers_write_it_once(self, export, monkeypatch):
        seen = []
        real = exports._write

        def meanwhile(mine, *args):
            seen.append(mine.tries)
            exports.write(mine.pk, lambda: AT)  # another worker, at the same time
            return real(mine, *args)

        monkeypatch.setattr(exports, "_write", meanwhile)
        assert write(export).state == "done"
        assert seen == [1]

    def test_who_was_killed_is_followed_by_another(self, export, monkeypatch, place):
        def killed(*args):
            raise SystemExit  # as by a signal: nothing after it runs but the `finally`

        monkeypatch.setattr(exports, "_write", killed)
        with pytest.raises(SystemExit):
            write(export)
        monkeypatch.undo()
        assert again(export).state == "running"
        write(export, later(60))  # the lease is still good
        assert export.state == "running"
        assert write(export, later(121)).state == "done"
        assert (export.tries, export.rows_done) == (2, 6)

    def test_a_worker_that_was_only_slow_leaves_it_to_the_other(self, export, monkeypatch):
        monkeypatch.setattr(exports, "TOLD_EVERY", 1)
        real = TABLES["calls"].pages

        def slow(asked_now, at):
            for page in real(asked_now, at):
                if Export.objects.get().tries == 1:
                    exports.write(export.pk, lambda: later(500))
                yield page

        import dataclasses

        monkeypatch.setitem(TABLES, "calls", dataclasses.replace(TABLES["calls"], pages=slow))
        write(export)
        assert (export.state, export.tries, export.ended_at) == ("done", 2, later(500))

    def test_progress_is_told_and_the_lease_renewed(self, morning, boss, monkeypatch):
        waiting(morning, 25)
        monkeypatch.setattr(long_tables, "PAGE", 10)
        monkeypatch.setattr(exports, "TOLD_EVERY", 10)
        export, seen = asked(boss), []
        clock = iter(AT + timedelta(seconds=n) for n in range(100))
        real = xlsx.Book.write

        def look(book, rows):
            real(book, rows)
            row = Export.objects.get()
            seen.append((row.rows_done, row.rows_total, row.claimed_until))

        monkeypatch.setattr(xlsx.Book, "write", look)
        exports.write(export.pk, lambda: next(clock))
        assert [row[:2] for row in seen] == [(0, 31), (10, 31), (20, 31), (30, 31)]
        assert seen == sorted(seen, key=lambda row: row[2])
        assert seen[-1][2] > seen[0][2]

    def test_given_up_after_five_kills(self, export, monkeypatch):
        Export.objects.update(state="running", tries=5, claimed_until=AT)
        assert write(export, later(1)).state == "failed"
        assert "ended 5 times" in export.error

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (OSError(errno.ENOSPC, "No space left on device"), "The disk is full: free some space"),
            (OSError(errno.EACCES, "Permission denied"), "could not be written: Permission denied"),
            (ValueError("x"), "could not be written: ValueError"),
        ],
    )
    def test_what_went_wrong_is_a_sentence(self, export, monkeypatch, place, error, told):
        def fail(*args):
            raise error

        monkeypatch.setattr(xlsx.Book, "write", fail)
        assert write(export).state == "failed"
        assert told in export.error
        assert list((place / "exports").glob("*.xlsx")) == []
        assert list((place / "exports" / ".unfinished").iterdir()) == []

    def test_one_at_a_time(self, morning, boss):
        first, second = asked(boss), asked(boss, "queues")
        Export.objects.filter(pk=first.pk).update(state="running", claimed_until=later(60))
        exports.write_due(lambda: AT)
        assert again(second).state == "wanted"
        exports.write_due(lambda: later(61))
        assert (again(first).state, again(second).state) == ("done", "done")

    def test_in_the_language_of_who_asked(self, morning, boss):
        export = asked(boss)
        Export.objects.update(language="sw")
        book = openpyxl.load_workbook(exports.file_of(write(export)))
        assert len(book.sheetnames) == 2


class TestTheBook:
    def written(self, tmp_path, rows):
        path = tmp_path / "book.xlsx"
        with Book(path, "Calls", ["a", "b"], ["text", "count"]) as book:
            for first in range(0, len(rows), 3):
                book.write(rows[first : first + 3])
            book.about("About", [["Rows", len(rows)]])
        return openpyxl.load_workbook(path)

    def test_more_rows_than_a_sheet_has_go_on_in_the_next(self, tmp_path, monkeypatch):
        monkeypatch.setattr(xlsx, "MOST_ROWS", 5)  # the heading is one of them
        book = self.written(tmp_path, [(f"n{n}", n) for n in range(9)])
        assert book.sheetnames == ["Calls", "Calls 2", "Calls 3", "About"]
        values = [list(book[name].iter_rows(values_only=True)) for name in book.sheetnames[:3]]
        assert [rows[0] for rows in values] == [("a", "b")] * 3
        assert [row[1] for rows in values for row in rows[1:]] == list(range(9))
        assert [len(rows) for rows in values] == [5, 5, 2]

    def test_a_sheet_that_grows_too_large_ends_sooner(self, tmp_path, monkeypatch):
        monkeypatch.setattr(xlsx, "MOST_BYTES", 1500)
        book = self.written(tmp_path, [("x" * 200, n) for n in range(9)])
        assert len(book.sheetnames) > 2
        assert sum(sheet.max_row - 1 for sheet in book.worksheets[:-1]) == 9

    def test_a_table_without_rows_has_its_heading(self, tmp_path):
        book = self.written(tmp_path, [])
        assert list(book["Calls"].iter_rows(values_only=True)) == [("a", "b")]
        assert book.sheetnames == ["Calls", "About"]

    def test_each_part_is_sound_xml(self, tmp_path):
        import xml.etree.ElementTree as ET

        self.written(tmp_path, [("a&<>\x00\ufffe", 1)])
        with zipfile.ZipFile(tmp_path / "book.xlsx") as packed:
            assert packed.testzip() is None
            for name in packed.namelist():
                ET.parse(io.BytesIO(packed.read(name)))


class TestThePage:
    def test_it_asks_again_while_one_is_being_written(self, export, boss):
        page = boss.get("/reports/files/").content.decode()
        assert 'hx-trigger="every 2s"' in page
        Export.objects.update(state="running", rows_done=2000, rows_total=6000)
        part = boss.get("/reports/files/", headers={"HX-Request": "true"}).content.decode()
        assert "<html" not in part
        assert "<progress" in part
        assert 'max="6000" value="2000"' in part

    def test_not_when_all_are_done(self, export, boss):
        write(export)
        page = boss.get("/reports/files/").content.decode()
        assert "hx-trigger" not in page
        assert f"/reports/files/{export.pk}/" in page

    def test_the_file_is_handed_out_and_that_is_noted(self, export, boss):
        write(export)
        reply = boss.get(f"/reports/files/{export.pk}/")
        assert reply["Content-Disposition"] == 'attachment; filename="calls_2026-11-20.xlsx"'
        assert reply["Cache-Control"] == "private, no-store"
        content = b"".join(reply.streaming_content)
        assert len(content) == export.size_bytes
        [noted] = Download.objects.all()
        assert (noted.how, noted.export, noted.user.username) == ("xlsx", export, "sarah")

    def test_another_supervisor_may_have_it_and_who_is_none_any_more_may_not(self, export, client):
        write(export)
        client.force_login(make_supervisor("sam"))
        assert client.get(f"/reports/files/{export.pk}/").status_code == 200
        User.objects.get(username="sam").groups.clear()
        assert client.get(f"/reports/files/{export.pk}/").status_code == 403

    def test_a_failed_one_can_be_asked_for_again(self, export, boss):
        Export.objects.update(state="failed", error="The disk is full.", ended_at=AT)
        page = boss.get("/reports/files/").content.decode()
        assert "The disk is full." in page
        assert 'action="/reports/files/?from=2026-11-20&amp;to=2026-11-20&amp;tz=Africa' in page

    def test_what_is_not_there_is_not_found(self, export, boss):
        assert boss.get(f"/reports/files/{export.pk}/").status_code == 404
        Export.objects.update(state="done", path="../../etc/passwd", ended_at=AT)
        assert boss.get(f"/reports/files/{export.pk}/").status_code == 404


def test_removed_after_a_week(export, place):
    write(export)
    exports.remove_due(at=AT + timedelta(days=6, hours=23))
    assert again(export).state == "done"
    exports.remove_due(at=AT + timedelta(days=7))
    assert (again(export).state, export.path) == ("removed", "")
    assert list((place / "exports").glob("*.xlsx")) == []


def test_a_csv_portion_holds_nothing_of_the_database(morning, monkeypatch):
    """Between two portions there is neither a cursor nor a transaction."""
    from django.db import connection

    waiting(morning, 20)
    monkeypatch.setattr(long_tables, "PAGE", 5)
    portions = lines.portions(TABLES["calls"], asked_for(), at=AT)
    count = 0
    for _portion in portions:
        count += 1
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_cursors")
            assert cursor.fetchone() == (0,)
    assert count == 1 + 6  # the heading; 26 calls by five
