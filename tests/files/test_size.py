"""Files of any length in constant memory; and a slow reader holds nothing of the database."""

import asyncio
import tracemalloc
from datetime import timedelta

import pytest
from django.db import connection
from django.test import AsyncClient

from callcenter import asgi
from queues.models import QueuedCall
from reporting.files import asking, exports, lines, long_tables
from reporting.files.tables import TABLES
from reporting.models import Export
from tests.factories import T0, make_queue, make_supervisor

from .conftest import AT, DAY, waiting
from .test_same_numbers import asked_for

MANY = """
SET LOCAL session_replication_role = replica;  -- without the triggers of each row
INSERT INTO queues_queuedcall (id, public_id, direction, state, abandoned_in, end_reason, queue_id,
    menu_tries, last_digits, customer, line, priority, arrived_at, queued_at, ended_at,
    connected_is_estimated, is_provisional, step, document, is_acknowledged)
SELECT gen_random_uuid(), 'made-' || %(first)s + n, 'inbound', 'abandoned', 'queue', '', %(queue)s,
    0, '', '+2547' || lpad(n::text, 8, '0'), '+254200000101', 0, %(at)s + n * interval '40 ms',
    %(at)s + n * interval '40 ms', %(at)s + n * interval '40 ms' + interval '9 s',
    false, false, 1, '', true
FROM generate_series(1, %(count)s) AS n
"""


def many(queue, count, first=0):
    with connection.cursor() as cursor:
        cursor.execute(MANY, {"first": first, "queue": queue.pk, "at": T0, "count": count})
        cursor.execute("SET LOCAL session_replication_role = DEFAULT")


def peak(do) -> int:
    """Return the most memory that was in use at a time, in bytes."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long
@pytest.mark.django_db
class TestMemory:
    """Five times the rows take no more memory; all of them held would be many times as much."""

    def test_of_a_csv_file(self):
        queue = make_queue()

        def read():
            for _ in lines.portions(TABLES["calls"], asked_for(), at=AT):
                pass

        many(queue, 8_000)
        read()  # what is imported and kept once
        small = peak(read)
        many(queue, 32_000, first=8_000)
        large = peak(read)
        assert QueuedCall.objects.count() == 40_000
        assert large < small * 1.2 < 40_000_000, (small, large)

    def test_of_a_spreadsheet(self, monkeypatch):
        queue, user = make_queue(), make_supervisor()
        monkeypatch.setattr(exports, "REST", 0)

        def write():
            made = exports.ask(TABLES["calls"], asked_for(), user=user, language="en", at=AT)
            exports.write(made.pk, lambda: AT)
            made.refresh_from_db()
            assert made.state == Export.State.DONE, made.error

        many(queue, 8_000)
        write()
        small = peak(write)
        many(queue, 32_000, first=8_000)
        large = peak(write)
        assert Export.objects.order_by("rows_done").last().rows_done == 40_000
        assert large < small * 1.2 < 40_000_000, (small, large)


@pytest.mark.django_db(transaction=True)
def test_between_two_portions_no_connection_and_no_transaction_is_held(morning, monkeypatch):
    """As the server asks for it: a reader who stops reading holds a socket, and nothing else."""
    waiting(morning, 20)
    monkeypatch.setattr(long_tables, "PAGE", 5)
    user, client = make_supervisor(), AsyncClient()
    client.force_login(user)
    elsewhere = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND (state <> 'idle' OR xact_start IS NOT NULL)"
    )

    def held() -> int:
        with connection.cursor() as cursor:
            cursor.execute(elsewhere)
            found = cursor.fetchone()[0]
        connection.close()
        stats = connection.pool.get_stats()  # type: ignore[attr-defined]  # of PostgreSQL's only
        in_use = stats["pool_size"] - stats["pool_available"]
        return found + max(0, in_use - 1)  # one is that of this test itself

    async def slowly() -> tuple[int, list[int]]:
        reply = await client.get(f"/reports/calls.csv?{DAY}")
        assert reply.status_code == 200
        size, seen = 0, []
        async for portion in reply.streaming_content:
            size += portion.count(b"\r\n")
            seen.append(await asyncio.to_thread(held))
        return size, seen

    size, seen = asyncio.run(slowly())
    assert (size, set(seen)) == (1 + 26, {0})
    assert len(seen) == 1 + 6


@pytest.mark.parametrize(
    ("path", "lasts"),
    [
        ("/reports/calls.csv", True), ("/reports/files/0190-x/", True),
        ("/calls-log/x/recordings/y/", True), ("/events/board/", True),
        ("/reports/files/", False), ("/reports/", False), ("/reports/service/", False),
        ("/calls/inbound", False),
    ],
)  # fmt: skip
def test_what_lasts_takes_no_thread_of_the_pages(path, lasts):
    assert asgi._lasts(path) is lasts


def test_a_kept_query_has_nothing_else():
    kept = asking.kept({"from": "2026-11-20", "queue": ["a", ""], "csrf": "x", "to": ""})
    assert kept == {"from": ["2026-11-20"], "queue": ["a"]}
    assert timedelta(days=7) == exports.KEEP
