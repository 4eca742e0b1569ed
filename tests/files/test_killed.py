"""A worker that is killed in the middle of a file, as the kernel does it: nothing runs after."""

import os
import signal
import subprocess
import sys
import time

import openpyxl
import pytest
from django.db import connection

from callcenter.ids import new_id
from reporting.files import exports
from reporting.models import Export

from .conftest import AT, later, waiting

WRITES = """
import os, sys, uuid, django
django.setup()
from datetime import datetime
from reporting.files import exports, long_tables
long_tables.PAGE, exports.AT_ONCE, exports.TOLD_EVERY, exports.REST = 5, 5, 5, 0.3
exports.write(uuid.UUID(sys.argv[1]), lambda: datetime.fromisoformat(sys.argv[2]))
"""


@pytest.mark.django_db(transaction=True)
def test_what_it_has_begun_is_done_by_another(morning, place):
    waiting(morning, 200)
    pk = new_id()
    Export.objects.create(
        pk=pk, report="calls", created_at=AT, zone="Africa/Nairobi", language="en",
        query={"from": ["2026-11-20"], "to": ["2026-11-20"]},
    )  # fmt: skip
    there = connection.get_connection_params()
    url = f"postgres://{there['user']}@/{there['dbname']}?host={there['host']}"
    environment = {**os.environ, "DATABASE_URL": url, "STATE_DIR": str(place),
                   "DJANGO_SETTINGS_MODULE": "callcenter.settings"}  # fmt: skip
    worker = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(pk), AT.isoformat()], env=environment
    )
    try:
        for _ in range(600):
            export = Export.objects.get()
            if export.rows_done or worker.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert export.state == "running"
    assert 0 < export.rows_done < export.rows_total == 206
    left = list((place / "exports" / ".unfinished").iterdir())
    assert len(left) == 1
    exports.write_due(lambda: later(60))
    assert Export.objects.get().state == "running"  # the lease is good for two minutes
    exports.write_due(lambda: later(121))
    export = Export.objects.get()
    assert (export.state, export.tries, export.rows_done) == ("done", 2, 206)
    book = openpyxl.load_workbook(exports.file_of(export))
    assert book.worksheets[0].max_row == 207
    yesterday = later(121).timestamp() - 86400
    os.utime(left[0], (yesterday, yesterday))
    exports.remove_due(at=later(122))
    assert not left[0].exists()
    assert exports.file_of(export)
