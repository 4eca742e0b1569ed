"""The SQL views: as described, read by a role that can do nothing else, in no migration's way."""

import re
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from reporting.figures import upkeep
from reporting.models import QueueQuarter
from reporting.sql import database_views as views
from reporting.sql import readers
from tests.factories import T0

from .conftest import AT

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs/sql-views.md"


def rows(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def described() -> dict[str, list[str]]:
    """The columns of each view, as its table in the documentation has them."""
    found = {}
    for part in re.split(r"^## ", DOCS.read_text(), flags=re.MULTILINE)[1:]:
        if title := re.match(r"`reports\.(\w+)`", part):
            found[title[1]] = re.findall(r"^\| `(\w+)` \| \S.* \|$", part, re.MULTILINE)
    return found


@pytest.mark.django_db
class TestViews:
    def test_the_documentation_has_every_view_and_column_in_order(self):
        there = {}
        for row in rows(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'reports' ORDER BY table_name, ordinal_position"
        ):
            there.setdefault(row["table_name"], []).append(row["column_name"])
        assert sorted(there) == sorted(views.names())
        assert described() == there

    def test_a_unit_stands_in_the_name_of_every_span(self):
        kinds = rows(
            "SELECT table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema = 'reports'"
        )
        assert not [row for row in kinds if row["data_type"] == "interval"]
        times = [r["column_name"] for r in kinds if r["data_type"] == "timestamp with time zone"]
        assert all(name.endswith("_at") or name == "start" for name in times)

    def test_the_figures_of_the_morning(self, morning):
        upkeep.freshen(at=AT)
        [row] = rows(
            "SELECT sum(offered) AS offered, sum(answered) AS answered, sum(in_time) AS in_time, "
            "sum(short_abandons) AS short, sum(abandoned) AS abandoned, "
            "sum(answered_wait_seconds) AS waits, sum(talk_seconds) AS talk, "
            "sum(wrap_up_seconds) AS wrap_up, max(longest_answered_wait_seconds) AS longest "
            "FROM reports.queue_quarters WHERE queue = 'support'"
        )
        assert row == {
            "offered": 5, "answered": 3, "in_time": 2, "short": 1, "abandoned": 2, "waits": 46.0,
            "talk": 180.0, "wrap_up": 45.0, "longest": 21.0,
        }  # fmt: skip

    def test_derived_ones_are_of_their_row(self, morning):
        QueueQuarter.objects.all().delete()
        QueueQuarter.objects.create(
            start=T0, queue=morning, direction="inbound", arrived=4, offered=4, answered=2,
            answered_waits=[5_000_000, 21_000_000], abandoned_waits=[4_000_000, 5_000_000],
            talk=timedelta(seconds=100), wrap_up=timedelta(seconds=20),
        )  # fmt: skip
        [row] = rows("SELECT * FROM reports.queue_quarters")
        assert (row["in_time"], row["short_abandons"], row["abandoned"]) == (1, 1, 2)
        assert row["service_level"] == pytest.approx(1 / 3)
        assert (row["asa_seconds"], row["aht_seconds"]) == (13.0, 60.0)

    def test_calls_and_offers_are_those_of_the_rows(self, morning):
        found = rows("SELECT * FROM reports.calls WHERE queue = 'support' ORDER BY arrived_at")
        assert [row["wait_seconds"] for row in found] == [5, 20, 21, 40, 4]
        assert [row["is_in_time"] for row in found] == [True, True, False, None, None]
        assert [row["is_short_abandon"] for row in found] == [None, None, None, False, True]
        assert {row["agent"] for row in found} == {"amina", None}
        [offer] = rows("SELECT * FROM reports.offers ORDER BY created_at LIMIT 1")
        assert (offer["talk_seconds"], offer["wrap_up_seconds"]) == (60.0, 15.0)
        [record] = rows("SELECT * FROM reports.records")
        assert (record["cost_minor"], record["cost_currency"]) == (350, "KES")

    @pytest.mark.parametrize("name", views.names())
    def test_each_can_be_read(self, morning, name):
        upkeep.freshen(at=AT)
        rows(f"SELECT * FROM reports.{name}")


@pytest.fixture
def reader(transactional_db):
    """A reader's connection; the role is gone afterwards."""
    password, is_new = readers.grant("bi_tool")
    assert is_new
    assert len(password) > 20
    try:
        yield password
    finally:
        readers.revoke("bi_tool")


def as_reader(password="x"):
    settings = connection.get_connection_params()
    return psycopg.connect(
        host=settings.get("host"), port=settings.get("port"), dbname=settings["dbname"],
        user="bi_tool", password=password, autocommit=True,
    )  # fmt: skip


class TestReaders:
    def test_it_reads_the_views_and_nothing_else(self, reader):
        with as_reader(reader) as theirs:
            for name in views.names():
                theirs.execute(f"SELECT * FROM reports.{name}")
            for table in (
                "public.queues_queuedcall", "public.auth_user", "public.authtoken_token",
                "public.outbox_endpoint", "public.django_session", "pg_catalog.pg_authid",
            ):  # fmt: skip
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    theirs.execute(f"SELECT * FROM {table}")

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO reports.calls (call) VALUES ('x')",
            "UPDATE reports.calls SET state = 'x'",
            "DELETE FROM reports.calls",
            "CREATE TABLE public.mine (n int)",
            "CREATE TABLE reports.mine (n int)",
            "CREATE TEMPORARY TABLE mine (n int)",
            "CREATE SCHEMA mine",
            "DROP VIEW reports.calls",
            "CREATE ROLE other",
            "COPY (SELECT 1) TO '/tmp/x'",
        ],
    )
    def test_it_writes_nothing_even_if_it_says_that_it_may(self, reader, statement):
        with as_reader(reader) as theirs:
            theirs.execute("SET default_transaction_read_only = off")
            with pytest.raises((psycopg.errors.InsufficientPrivilege,
                                psycopg.errors.ObjectNotInPrerequisiteState)):  # fmt: skip
                theirs.execute(statement)

    def test_it_has_a_minute_and_reads_only(self, reader):
        with as_reader(reader) as theirs:
            for setting, value in (
                ("statement_timeout", "1min"), ("default_transaction_read_only", "on"),
                ("search_path", "reports"),
            ):  # fmt: skip
                assert theirs.execute(f"SHOW {setting}").fetchone() == (value,)

    def test_views_that_are_made_anew_are_read_too(self, reader):
        views.drop()
        views.make()
        with as_reader(reader) as theirs:
            theirs.execute("SELECT * FROM reports.calls")

    def test_once_more_is_a_new_password(self, reader):
        def digest():
            [row] = rows("SELECT rolpassword FROM pg_authid WHERE rolname = 'bi_tool'")
            return row["rolpassword"]

        before = digest()
        assert before.startswith("SCRAM-SHA-256$")
        password, is_new = readers.grant("bi_tool")
        assert (is_new, password != reader, digest() != before) == (False, True, True)

    def test_no_other_role_is_taken_over(self, transactional_db, capsys):
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            [owner] = cursor.fetchone()
        for name in (owner, "pg_monitor", "Robert; DROP", ""):
            with pytest.raises(CommandError):
                call_command("report_reader", name)

    def test_the_command_says_the_password_once_and_removes(self, transactional_db, capsys):
        call_command("report_reader", "bi_tool")
        told = capsys.readouterr()
        assert len(told.out.strip()) > 20
        assert told.out.strip() not in told.err
        call_command("report_reader", "bi_tool", "--remove")
        assert rows("SELECT 1 FROM pg_roles WHERE rolname = 'bi_tool'") == []


class TestMigrations:
    def test_they_are_away_while_a_migration_runs_and_back_after_it(self, transactional_db):
        views.before_migrations(plan=[("a migration", False)])
        assert rows("SELECT 1 FROM pg_views WHERE schemaname = 'reports'") == []
        with connection.cursor() as cursor:  # what a view forbids
            cursor.execute("ALTER TABLE queues_disposition ALTER label TYPE varchar(61)")
            cursor.execute("ALTER TABLE queues_disposition ALTER label TYPE varchar(60)")
        call_command("migrate", verbosity=0)
        assert views.is_current()

    def test_nothing_is_done_where_nothing_is_to_be_migrated(self, transactional_db):
        [before] = rows("SELECT 'reports.calls'::regclass::oid AS oid")
        call_command("migrate", verbosity=0)
        assert rows("SELECT 'reports.calls'::regclass::oid AS oid") == [before]

    def test_before_the_tables_are_there_it_is_said_and_no_error(
        self, transactional_db, capsys, monkeypatch, tmp_path
    ):
        sql = tmp_path / "views.sql"
        sql.write_text("CREATE VIEW reports.calls AS SELECT * FROM not_there_yet;")
        monkeypatch.setattr(views, "_SQL", sql)
        views.after_migrations(plan=[])
        assert "not_there_yet" in capsys.readouterr().out
        assert not views.is_current()
        monkeypatch.undo()
        call_command("migrate", verbosity=0)
        assert views.is_current()

    def test_a_flush_makes_nothing(self, transactional_db, monkeypatch):
        monkeypatch.setattr(views, "is_current", lambda using: pytest.fail("looked"))
        views.after_migrations()

    def test_views_of_others_upon_ours_are_named(self, transactional_db):
        with connection.cursor() as cursor:
            cursor.execute("CREATE VIEW public.mine AS SELECT call FROM reports.calls")
        try:
            with pytest.raises(Exception, match="mine") as error:
                views.drop()
            assert "built upon" in error.value.__notes__[0]
            assert views.is_current()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP VIEW public.mine")
