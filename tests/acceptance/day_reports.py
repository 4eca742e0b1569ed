"""The reports as people and programs get them: `/api/`, CSV files and pages.

From the running product, or from a copy of its database in which the day lies elsewhere. For the
copy this file is also a program (`python -m tests.acceptance.day_reports`): it answers each path on
its input by the product's own views, and runs a command that comes as a list, with a line of JSON.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Protocol

import requests

from callcenter.launch import ROOT
from tests.acceptance.stack import ADMIN, PASSWORD

Row = dict[str, Any]


class Fetches(Protocol):
    """What gets a page, signed in as an administrator."""

    def __call__(self, path: str) -> str: ...


@dataclass(frozen=True)
class Reports:
    """What the reports of one database say."""

    fetch: Fetches

    def api(self, path: str) -> list[Row]:
        return list(json.loads(self.fetch(path))["results"])

    def csv(self, path: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.fetch(path).removeprefix("\ufeff"))))

    def page(self, path: str) -> Tables:
        tables = Tables()
        tables.feed(self.fetch(path))
        return tables


class Tables(HTMLParser):
    """The tables of a page by their `data-testid`: rows of cells' texts, the headings first."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self._rows: list[list[str]] | None = None
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs).get("data-testid") or "", [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in {"td", "th"} and self._rows:
            self._rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False
        elif tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if words := " ".join(data.split()):
            self.text.append(words)
            if self._in_cell and self._rows:
                self._rows[-1][-1] = f"{self._rows[-1][-1]} {words}".strip()


def of_the_stack(url: str) -> Reports:
    """The reports of the running product, by a supervisor's browser."""
    browser = requests.Session()
    browser.trust_env = False
    browser.get(f"{url}/login/", timeout=30)
    form = {
        "username": ADMIN, "password": PASSWORD,
        "csrfmiddlewaretoken": browser.cookies["csrftoken"],
    }  # fmt: skip
    answer = browser.post(f"{url}/login/", form, headers={"Referer": f"{url}/login/"}, timeout=30)
    assert answer.ok, answer.text[:500]

    def fetch(path: str) -> str:
        answer = browser.get(url + path, timeout=60)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.content.decode()

    return Reports(fetch)


class OfACopy:
    """The reports of another database, by the product's views in a process of their own."""

    def __init__(self, database_url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.day_reports"], cwd=ROOT, text=True,
            env={**os.environ, "DATABASE_URL": database_url},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, path: str) -> str:
        return self._ask(path)

    def manage(self, *command: str) -> str:
        """What a command of manage.py prints."""
        return self._ask(command)

    def _ask(self, asked: str | tuple[str, ...]) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        status, text = json.loads(self._process.stdout.readline())
        assert status == 200, f"{asked}: {status} {text[:500]}"
        return str(text)

    def close(self) -> None:
        self._process.communicate()


def _answer() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")
    import django
    from django.test import Client
    from django.test.utils import setup_test_environment

    django.setup()
    setup_test_environment()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    client = Client()
    client.force_login(get_user_model().objects.get(username=ADMIN))
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, list):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                call_command(*asked, stdout=printed, stderr=sys.stderr)
            answer = [200, printed.getvalue()]
        else:
            reply = client.get(asked, secure=True)
            body = reply.getvalue() if reply.streaming else reply.content
            answer = [reply.status_code, body.decode()]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _answer()
