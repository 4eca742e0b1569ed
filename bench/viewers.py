"""Row 9: from the commit of an event to the DOM of a wallboard that fifty people watch.

All but one of the viewers are plain clients that do what static/js/live.js does: they hold the
event stream open, and fetch the board again when they are told that it is stale, at most once a
second. The last one is a real browser. A call arrives at the simulator; PostgreSQL keeps the time
of the commit of its first row, the browser the time at which the caller's number is in its page.
Both read the clock of this machine.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import requests

from bench import centre, rest
from bench.house import House, send
from bench.measure import Row, percentile

MANY, FEW = 50, 2
SAMPLES = 30
EVERY = 2.5  # seconds and a little between two calls: something happens now and then
SPACING = 1.0  # seconds between two fetches of one viewer, as in live.js
SAFETY = 30.0  # seconds after which a viewer fetches without being told
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
_COMMITTED = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(e.xmin))::float8
FROM queues_queuedcall c JOIN queues_callevent e ON e.call_id = c.id AND e.kind = 'arrived'
WHERE c.customer = %s
"""
# One of the statements that read the board, the same number each time.
_BOARD = 'SELECT "queues_member"."queue_id" AS "queue_id", "queues_member"."agent_id"'
_WATCH = """
window.seen = {}; window.shifted = 0;
new MutationObserver(() => {
  for (const row of document.querySelectorAll("[data-testid=call] .c-who a"))
    window.seen[row.textContent.trim()] ??= Date.now() / 1000;
}).observe(document.getElementById("live"), {childList: true, subtree: true});
"""
_PAINTED = """
() => performance.getEntriesByName("first-contentful-paint").map((one) => one.startTime)[0] ?? 0
"""


class Viewer(threading.Thread):
    """One open wallboard, without the drawing."""

    def __init__(self, url: str, cookie: str) -> None:
        super().__init__(daemon=True)
        self._url, self._session = url, requests.Session()
        self._session.cookies.set("sessionid", cookie)
        self._stale, self.over = threading.Event(), threading.Event()
        self.fetched = 0

    def run(self) -> None:
        """Fetch when told, until it is over."""
        threading.Thread(target=self._listen, daemon=True).start()
        asked = 0.0
        while not self.over.is_set():
            self._stale.wait(SAFETY)
            self.over.wait(max(0.0, asked + SPACING - time.monotonic()))
            self._stale.clear()
            asked = time.monotonic()
            try:
                answer = self._session.get(f"{self._url}/board/", timeout=20)
            except requests.RequestException:
                continue
            self.fetched += answer.status_code == 200
            if "HX-Trigger" in answer.headers:  # there is news that is not in it yet
                self._stale.set()

    def _listen(self) -> None:
        while not self.over.is_set():
            try:
                with requests.get(
                    f"{self._url}/events/board/", cookies=self._session.cookies, stream=True,
                    timeout=(5, 40),
                ) as stream:  # fmt: skip
                    for line in stream.iter_lines():
                        if self.over.is_set():
                            return
                        if line == b"event: stale":
                            self._stale.set()
            except requests.RequestException:
                self.over.wait(1)

    def end(self) -> None:
        """Close the page."""
        self.over.set()
        self._stale.set()


def rows(house: House, seconds: float) -> list[Row]:
    """Measure with a few viewers and with many."""
    cookie = _sign_in()
    few = _Crowd(house, cookie, FEW)
    with few.watching():
        few_reads, few_cpu = few.events(SAMPLES // 3)
    many = _Crowd(house, cookie, MANY)
    with many.watching():
        idle = many.idle(seconds)
        reads, cpu = many.events(SAMPLES)
    p50, p95 = (percentile(many.delays, share) * 1000 for share in (0.5, 0.95))
    fetches = sum(viewer.fetched for viewer in many.viewers)
    return [
        Row(
            "9 event -> browser, 50 viewers, p95", f"{p95:.0f} ms", "<= 1000 ms",
            passed=p95 <= 1000 and many.missed == 0,
            notes=[
                f"p50 {p50:.0f} ms; {len(many.delays)} calls, {many.missed} not seen in 5 s; with "
                f"{FEW} viewers p50 {percentile(few.delays, 0.5) * 1000:.0f} ms, "
                f"p95 {percentile(few.delays, 0.95) * 1000:.0f} ms",
                f"first contentful paint of the wallboard {many.painted:.0f} ms (bar: 1000)",
                f"{fetches} fetches by the other {MANY - 1}",
            ],
        ),
        Row(
            "9 times that the board is read a call", f"{reads:.1f}", f"<= {FEW} viewers'",
            raw=f"{few_reads:.1f}", passed=reads <= 1.15 * few_reads,
            notes=[
                f"the raw column is with {FEW} viewers; who asks (session, user, role) is asked of "
                "each of them, with every fetch"
            ],
        ),
        Row(
            "9 web, 50 viewers, nothing happens", f"{idle:.1f} % of a core", "<= 15 %",
            passed=idle <= 15,
            notes=[
                f"while a call comes every {EVERY} s and a little: {cpu:.0f} %; "
                f"with {FEW} viewers {few_cpu:.0f} %"
            ],
        ),
    ]  # fmt: skip


class _Crowd:
    """So many viewers, the last of them a browser."""

    def __init__(self, house: House, cookie: str, count: int) -> None:
        self._house, self._cookie = house, cookie
        self.viewers = [Viewer(house.url, cookie) for _ in range(count - 1)]
        self.delays: list[float] = []
        self.missed = 0
        self.painted = 0.0
        self._count = count
        self._placed: list[str] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        from playwright.sync_api import sync_playwright

        if not Path(CHROMIUM).exists():
            raise OSError("there is no Chromium")
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
        for viewer in self.viewers:
            viewer.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            context = browser.new_context(bypass_csp=True)
            context.add_cookies(
                [{"name": "sessionid", "value": self._cookie, "url": self._house.url}]
            )
            self._page: Any = context.new_page()
            self._page.goto(self._house.url)
            self._page.goto(self._house.url)  # a warm server and a cold page
            self._page.wait_for_selector("#live[data-up]")
            self.painted = self._page.evaluate(_PAINTED)
            self._page.evaluate(_WATCH)
            time.sleep(3)
            yield
            browser.close()
        for viewer in self.viewers:
            viewer.end()
        for call in self._placed:
            send("POST", f"{self._house.simulator_url}/_sim/calls/{call}/hangup", {})
        for viewer in self.viewers:
            viewer.join(25)

    def idle(self, seconds: float) -> float:
        """The share of a core that the web processes take while nothing happens."""
        return self._share(lambda: self._page.wait_for_timeout(1000 * max(10.0, seconds)))

    def _share(self, run: Any) -> float:
        web = {name: pid for name, pid in self._house.processes.items() if name == "web"}
        family = rest.families(web)
        before, began = rest.cpu(family), time.monotonic()
        run()
        took, after = time.monotonic() - began, rest.cpu(family)
        return sum(100 * (after[name] - before[name]) / took for name in after)

    def events(self, count: int) -> tuple[float, float]:
        """Let calls arrive; return how often each has the board read, and the web's share."""
        with _statements(self._house) as told:
            share = self._share(lambda: self._arrive_all(count))
        return len(told) / count, share

    def _arrive_all(self, count: int) -> None:
        for number in range(count):
            self._arrive(number)

    def _arrive(self, number: int) -> None:
        customer = f"+2547{self._count:03d}{number:05d}"
        began = time.monotonic()
        simulator = self._house.simulator_url
        body = {"from": customer, "to": centre.line(centre.FULL)}
        call = send("POST", f"{simulator}/_sim/calls", body)["call_id"]
        try:
            self._page.wait_for_function(f"window.seen['{customer}']", timeout=5000)
        except Exception as error:
            if "Timeout" not in str(error):
                raise
            self.missed += 1
            return
        seen = self._page.evaluate(f"window.seen['{customer}']")
        with psycopg.connect(self._house.database_url) as connection:
            found = connection.execute(_COMMITTED, [customer]).fetchone()
        assert found
        self.delays.append(seen - found[0])
        self._placed.append(call)
        rest_of_it = EVERY + 0.37 * (number % 3) - (time.monotonic() - began)
        self._page.wait_for_timeout(max(0.0, 1000 * rest_of_it))


@contextmanager
def _statements(house: House) -> Iterator[list[str]]:
    """Have PostgreSQL tell every statement; hand out one for each time that the board is read."""
    log = house.place.log("postgres")
    with psycopg.connect(house.database_url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("SELECT pg_reload_conf()")
        time.sleep(0.5)
        begin = log.stat().st_size
        found: list[str] = []
        yield found
        connection.execute("ALTER SYSTEM RESET log_statement")
        connection.execute("SELECT pg_reload_conf()")
    with log.open(errors="replace") as file:
        file.seek(begin)
        told = [line for line in file if " statement: " in line or " execute " in line]
    found += [line for line in told if _BOARD in line]


def _sign_in() -> str:
    """Return the key of a supervisor's session."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.get(username="supervisor"))
    return str(client.session.session_key)
