"""What the bells of reporting do: files and mails are a worker's work."""

from __future__ import annotations

from callcenter import bell
from reporting import tasks


def connect() -> None:
    """Answer the bells that `reporting.files` rings."""
    bell.answer("export", lambda: _send(tasks.write_exports))
    bell.answer("report_mail", lambda: _send(tasks.send_report_mails))


def _send(task) -> None:  # type: ignore[no-untyped-def]
    task.delay()
