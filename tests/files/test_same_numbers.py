"""The same filters give the same rows on every way out: page, CSV, spreadsheet, API, mail."""

import csv
import io
from datetime import datetime, timedelta

import openpyxl
import pytest
from django.contrib.auth.models import User

from queues.models import Queue
from reporting.figures import report
from reporting.files import asking, exports, long_tables
from reporting.files.tables import TABLES
from reporting.models import Download, Export
from tests.api import api
from tests.factories import T0, make_agent, make_waiting

from .conftest import AT, DAY

pytestmark = pytest.mark.django_db


def body(reply) -> bytes:
    return b"".join(reply.streaming_content)


def csv_of(boss, table, query=DAY):
    reply = boss.get(f"/reports/{table}.csv?{query}")
    assert reply.status_code == 200, reply.content
    text = body(reply).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""))), reply


def asked_for(query=DAY):
    from django.http import QueryDict

    return asking.read(QueryDict(query), at=AT)


def written(table="queues", query=DAY, **values):
    """The workbook of an export, and its row."""
    user = User.objects.filter(username="sarah").first()
    export = exports.ask(TABLES[table], asked_for(query), user=user, language="en", at=AT, **values)
    exports.write(export.pk, lambda: AT)
    export.refresh_from_db()
    assert export.state == "done", export.error
    return openpyxl.load_workbook(exports.file_of(export)), export


def rows_of(sheet):
    return list(sheet.iter_rows(min_row=2, values_only=True))


@pytest.mark.parametrize("table", list(TABLES))
@pytest.mark.parametrize("query", [DAY, f"{DAY}&interval=hour&queue=support"], ids=["day", "hours"])
def test_csv_and_spreadsheet_have_the_rows_of_the_table(morning, boss, table, query):
    columns = TABLES[table].columns
    wanted = list(TABLES[table].rows(asked_for(query), at=AT))
    assert wanted
    lines, _ = csv_of(boss, table, query)
    book, export = written(table, query)
    cells = rows_of(book.worksheets[0])
    assert len(wanted) == len(lines) == len(cells) == export.rows_done == export.rows_total
    for row, line, cell in zip(wanted, lines, cells, strict=True):
        for column, value, in_sheet in zip(columns, row, cell, strict=True):
            text = line[column.key].removeprefix("'")
            if value is None or value == "":
                assert (text, in_sheet) == ("", None)
            elif isinstance(value, datetime):
                assert datetime.fromisoformat(text) == value
                assert text.endswith("+03:00")
                assert abs(in_sheet - value.replace(tzinfo=None)) < timedelta(milliseconds=2)
            elif isinstance(value, bool):
                assert (text == "true", in_sheet) == (value, value)
            elif column.kind in {"count", "seconds", "share", "money"}:
                assert (float(text), float(in_sheet)) == (float(value), float(value))
            else:
                assert (text, in_sheet) == (value, value)


def test_the_figures_of_the_morning(morning, boss):
    """Worked out by hand: two of (5 - 1) in time; waits 5, 20, 21."""
    [sales, support] = csv_of(boss, "queues")[0]
    assert (support["offered"], support["answered"], support["abandoned"]) == ("5", "3", "2")
    assert (support["in_time"], support["short_abandons"]) == ("2", "1")
    assert (support["service_level"], support["asa_seconds"]) == ("0.5", "15.333")
    assert (support["aht_seconds"], support["cost"], support["currency"]) == ("75.0", "3.50", "KES")
    assert (sales["offered"], sales["service_level"], sales["asa_seconds"]) == ("1", "0.0", "")


def test_the_api_says_the_same(morning, boss):
    span = "since=2026-11-20T00:00:00%2B03:00&until=2026-11-21T00:00:00%2B03:00"
    reply = api(User.objects.get(username="sarah")).get(f"/api/reports/queues/?{span}")
    told = {row["queue"]: row for row in reply.json()["results"]}
    for line in csv_of(boss, "queues")[0]:
        row = told[line["queue"]]
        for name in ("offered", "answered", "abandoned", "short_abandons"):
            assert row[name] == int(line[name])
        for name, ours in (("service_level", "service_level"), ("asa", "asa_seconds")):
            assert row[name] == (float(line[ours]) if line[ours] else None)


def test_the_spreadsheet_says_what_is_in_it_and_the_totals_of_the_page(morning, boss):
    book, _ = written(query=f"{DAY}&queue=support")
    about = {row[0]: row[1] for row in book["About"].iter_rows(values_only=True) if row[0]}
    total = report.totals(asked_for(f"{DAY}&queue=support"), at=AT)
    assert about["Time zone"] == "Africa/Nairobi"
    assert about["From"] == "2026-11-20T00:00+03:00"
    assert about["Queues"] == "Support"
    assert about["Rows"] == 1
    assert (about["Offered"], about["Answered"]) == (total["offered"], total["answered"]) == (5, 3)
    said = [row[1] for row in book["About"].iter_rows(values_only=True)
            if row[0] == "Service level"]  # fmt: skip
    assert said == [0.5, "answered within T / (offered - abandoned before s)"]


class TestCells:
    def test_a_text_is_no_formula_and_a_number_stays_a_number(self, morning, boss):
        line = csv_of(boss, "calls")[0][0]
        assert line["disposition"] == "'=Order"
        assert line["customer"] == "+254700000111"
        book, _ = written("calls")
        sheet = book.worksheets[0]
        heads = [cell.value for cell in sheet[1]]
        word = sheet.cell(2, heads.index("Disposition") + 1)
        assert (word.value, word.data_type) == ("=Order", "s")
        assert sheet.cell(2, heads.index("Customer") + 1).value == "+254700000111"
        assert heads[heads.index("Agent") :][0] == "Agent"
        assert "Arrived (Africa/Nairobi)" in heads

    def test_signs_that_no_file_may_hold_are_replaced(self, morning, boss):
        Queue.objects.filter(slug="support").update(name="a\x01b<&>\ud7ff'\"")
        book, _ = written()
        assert "a\ufffdb<&>\ud7ff'\"" in [row[2] for row in rows_of(book.worksheets[0])]

    def test_the_csv_begins_with_its_mark(self, morning, boss):
        assert body(boss.get(f"/reports/queues.csv?{DAY}")).startswith(b"\xef\xbb\xbfstart,queue,")


class TestNames:
    @pytest.mark.parametrize(
        ("query", "name"),
        [
            (DAY, "queues_2026-11-20.csv"),
            ("from=2026-11-01&to=2026-11-30&interval=day&queue=support",
             "queues_support_day_2026-11-01_2026-11-30.csv"),
            ("from=2026-11-20T08:00&to=2026-11-20T09:30",
             "queues_2026-11-20T0800_2026-11-20T0930.csv"),
        ],
    )  # fmt: skip
    def test_a_file_says_table_and_range(self, morning, boss, query, name):
        reply = csv_of(boss, "queues", query)[1]
        assert reply["Content-Disposition"] == f'attachment; filename="{name}"'


class TestCalls:
    def test_any_number_of_rows_in_portions(self, morning, boss, monkeypatch):
        monkeypatch.setattr(long_tables, "PAGE", 4)
        at_once = [make_waiting(Queue.objects.get(slug="sales"), arrived_at=T0 + timedelta(hours=2))
                   for _ in range(9)]  # fmt: skip
        lines, _ = csv_of(boss, "calls")
        assert len(lines) == 6 + 9
        assert len({line["call"] for line in lines}) == 15
        assert [line["arrived_at"] for line in lines] == sorted(
            line["arrived_at"] for line in lines
        )
        assert {call.public_id for call in at_once} <= {line["call"] for line in lines}

    def test_they_are_those_that_the_queues_count(self, morning, boss):
        midnight = T0 - timedelta(hours=11)
        make_waiting(morning, arrived_at=midnight - timedelta(seconds=10), queued_at=midnight)
        lines, _ = csv_of(boss, "calls", f"{DAY}&queue=support")
        [row] = csv_of(boss, "queues", f"{DAY}&queue=support")[0]
        assert len(lines) == int(row["offered"]) == 6  # arrived the day before, entered on this
        before = csv_of(boss, "calls", "from=2026-11-19&to=2026-11-19")[0]
        assert before == []

    def test_of_an_agent(self, morning, boss):
        make_agent(username="brian")
        assert len(csv_of(boss, "calls", f"{DAY}&agent=amina")[0]) == 3
        assert csv_of(boss, "calls", f"{DAY}&agent=brian")[0] == []


class TestWhatIsAsked:
    def test_what_cannot_be_meant_is_refused_in_words(self, boss):
        reply = boss.get("/reports/queues.csv?from=soon&tz=Nowhere/Land")
        assert reply.status_code == 400
        assert "Write a date like" in reply.content.decode()
        assert "Nowhere/Land" in reply.content.decode()
        assert not Download.objects.exists()

    def test_a_table_that_does_not_exist_is_not_found(self, boss):
        assert boss.get("/reports/nothing.csv").status_code == 404

    def test_it_is_written_down_who_took_what(self, morning, boss):
        csv_of(boss, "calls", f"{DAY}&queue=support&csrf=x")
        [noted] = Download.objects.all()
        assert (noted.user.username, noted.report, noted.how) == ("sarah", "calls", "csv")
        assert noted.query == {
            "from": ["2026-11-20"], "to": ["2026-11-20"], "queue": ["support"]
        }  # fmt: skip

    def test_head_takes_nothing(self, boss):
        reply = boss.head(f"/reports/calls.csv?{DAY}")
        assert (reply.status_code, reply["Content-Type"]) == (200, "text/csv; charset=utf-8")
        assert not Download.objects.exists()

    def test_another_time_zone_has_its_own_days_and_offsets(self, morning, boss):
        line = csv_of(boss, "calls", f"{DAY}&tz=Europe/Berlin")[0][0]
        assert line["arrived_at"] == "2026-11-20T09:00:00.000+01:00"


def test_an_export_keeps_its_day(morning, boss):
    """Asked for today, written tomorrow: it is of the day on which it was asked for."""
    boss.post("/reports/files/", {"table": "calls"})
    [export] = Export.objects.all()
    assert len(export.query["from"][0]) == 10
    assert export.query["tz"] == ["Africa/Nairobi"]
