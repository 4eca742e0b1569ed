"""A call centre on a disk that fills up, and is emptied again; run by `tests/test_disk.py`.

`unshare -m python -m tests.full_disk DIRECTORY rows` mounts a small disk there, which nobody else
sees, and prints as JSON what happened. PostgreSQL runs with its durability, on that disk. With
`journal` instead of `rows` its journal (WAL) is what meets the end of the disk first.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from callcenter import embedded
from tests.services import SETTINGS

MB = 1 << 20
TOKEN = SETTINGS["SAUTIKIT_WEBHOOK_TOKEN"]


USE_UP = {
    "rows": "CREATE TABLE IF NOT EXISTS filler (text text); INSERT INTO filler"
    " SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 400000) n GROUP BY n / 40",
    "journal": "SELECT pg_logical_emit_message(true, 'filler', repeat('x', 4000000))",
}


def main(directory: Path, what: str) -> dict[str, Any]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "none", directory], check=True)
    directory.chmod(0o711)
    server = embedded.start_postgres(directory / "postgres", log=directory.parent / "postgres.log")
    os.environ.update(SETTINGS, DATABASE_URL=server.url, REDIS_URL="redis://127.0.0.1:1/0")
    os.environ["ALLOWED_HOSTS"] = "testserver"
    os.environ["DJANGO_SETTINGS_MODULE"] = "callcenter.settings"
    try:
        return tell(directory, server, USE_UP[what])
    finally:
        server.stop()


def tell(directory: Path, server: embedded.Server, use_up_by: str) -> dict[str, Any]:
    import django
    from django.core.management import call_command
    from django.test import Client

    django.setup()
    call_command("migrate", verbosity=0)
    from callcenter import bell
    from queues.models import QueuedCall
    from tests.factories import LINE, make_queue

    bell._answers.clear()
    make_queue()
    client = Client(raise_request_exception=False)

    def call(number: int, **more: str) -> dict[str, Any]:
        body = {
            "sessionId": f"HD_{number:012}", "callerNumber": f"+2547000{number:05}",
            "destinationNumber": LINE, "callSessionState": "Ringing",
        }  # fmt: skip
        began = time.monotonic()
        query = urlencode({"token": TOKEN, **more})
        kind = "application/x-www-form-urlencoded"
        reply = client.generic("POST", f"/calls/inbound?{query}", urlencode(body), kind)
        verbs = [next(iter(action)) for action in json.loads(reply.content)["actions"]]
        return {"status": reply.status_code, "verbs": verbs, "took": time.monotonic() - began}

    def stored() -> list[str]:
        return sorted(QueuedCall.objects.values_list("customer", flat=True))

    before = [call(number) for number in range(1, 4)]
    acknowledged = stored()
    fill(directory / "filling", 0)
    # Nothing of the server's own room is left: what it set aside for rows and journal is used up.
    server_error = use_up(server.url, use_up_by)
    full = []
    for number in range(10, 20):
        full.append(call(number))
        if not server.child.alive:  # as the launcher does
            server.child.start()
        time.sleep(0.2)
    lived = server.child.alive
    (directory / "filling").unlink()
    began = time.monotonic()
    again: dict[str, Any] = {}
    while time.monotonic() - began < 60 and "conference" not in again.get("verbs", []):
        if not server.child.alive:
            server.child.start()
        again = call(10, resume="1")
        time.sleep(0.2)
    return {
        "before": before, "acknowledged": acknowledged, "server_error": server_error,
        "full": full, "server_lived": lived, "again": again,
        "back_after": time.monotonic() - began, "after": stored(),
    }  # fmt: skip


def fill(path: Path, leave: int) -> None:
    """Write until nothing more goes in, then give `leave` bytes back."""
    with path.open("wb", buffering=0) as file:
        block = MB
        while block >= 512:
            try:
                file.write(bytes(block))
            except OSError:
                block //= 2
        file.truncate(max(0, file.tell() - leave))


def use_up(url: str, statement: str) -> str:
    """Write to the database until it cannot; return what it says then."""
    import psycopg

    for _ in range(50):
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                connection.execute(statement)
        except psycopg.Error as error:
            return f"{type(error).__name__}: {error}".strip()
    return ""


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
