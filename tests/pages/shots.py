"""Take pictures of every page, at three widths, light and dark: `python -m tests.pages.shots DIR`.

Not a test: it shows made-up rows, on its own database and web server, to somebody who looks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from callcenter.embedded import free_port
from tests import services

WIDTHS = {"phone": (360, 760), "tablet": (768, 1024), "desktop": (1440, 900)}
BAD = "number=0722x&queue=suport&status=lost&from=2026-02-30&to=soon&wait=-5"  # what people type
WALLS = {"1080p": (1920, 1080), "portrait": (1080, 1920), "4k": (3840, 2160)}


def main(target: Path, only: str = "") -> None:
    """Start a web server over made-up rows and photograph it."""
    stop = services.start()
    port = free_port(8700)
    url = f"http://127.0.0.1:{port}"
    static = Path(tempfile.gettempdir()) / "pages-static"
    static.mkdir(exist_ok=True)
    if not (static / "staticfiles.json").exists():
        (static / "staticfiles.json").write_text('{"paths": {}, "version": "1.1", "hash": ""}')
    os.environ |= {
        "PUBLIC_BASE_URL": url, "DEMO": "true", "PORT": str(port), "DJANGO_SETTINGS_MODULE":
        "callcenter.settings", "LOG_LEVEL": "WARNING", "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
        "STATIC_ROOT": str(static),
    }  # fmt: skip
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    server = subprocess.Popen(
        [sys.executable, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1",
         "--port", str(port), "--log-level", "error", "callcenter.asgi:application"]
    )  # fmt: skip
    try:
        _wait(url)
        target.mkdir(parents=True, exist_ok=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
            )
            Camera(browser, url, target, only).tour()
            browser.close()
    finally:
        server.terminate()
        server.wait()
        stop()


def _wait(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(f"{url}/health/live")
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("The web server does not answer.")


class Camera:
    """Signs in, sets the scene, and takes each picture at every width in both schemes."""

    def __init__(self, browser: Browser, url: str, target: Path, only: str) -> None:
        self.browser, self.url, self.target, self.only = browser, url, target, only
        self.cookies: dict[str, Any] = {}

    def tour(self) -> None:
        from django.db import transaction
        from django.utils import timezone

        from tests.pages import made_up as scene
        from tests.pages import made_up_desk as desk
        from tests.pages.made_up_call import with_everything

        scene.centre()
        desk.set_up()
        self.sign_in("supervisor")
        self.sign_in("amina")
        self.take("login", "/login/", "")
        self.take("login-sw", "/login/", "", locale="sw")
        self.take("board-empty", "/", "supervisor")
        self.take("log-empty", "/calls-log/", "supervisor")
        self.take("start", "/start/", "supervisor")
        self.take("start-check", "/start/check/", "supervisor")
        self.take("admin-queue", "/admin/queues/queue/1/change/", "supervisor")
        self.take("admin-history", "/admin/queues/queue/1/history/", "supervisor")
        self.take("admin-import", "/admin/agents/agent/import/", "supervisor")
        self.take("password", "/password/", "amina")
        self.take("preferences", "/preferences/", "supervisor")
        self.take("forbidden", "/", "amina", path="/calls-log/")
        self.take("not-found", "/nowhere/", "supervisor")
        self.planning()
        self.provider()
        scene.put("amina", presence="offline")
        self.take("desk-offline", "/agent/", "amina")
        scene.history()
        told = scene.told()
        amina = scene.put("amina", since=312)
        self.take("desk-idle", "/agent/", "amina")
        self.take("desk-reasons", "/agent/", "amina", press="[data-testid=presence-break]")
        self.take("desk-dial", "/agent/", "amina", press="[data-testid=dial-go]")
        self.take("desk-keys", "/agent/", "amina", press="[data-testid=show-keys]")
        scene.busy()
        self.take("board", "/", "supervisor")
        self.take("board-sw", "/", "supervisor", locale="sw")
        self.room(scene)
        self.take("log", "/calls-log/", "supervisor")
        self.take("log-none", "/calls-log/?number=999999", "supervisor")
        self.take("log-bad", f"/calls-log/?{BAD}", "supervisor")
        self.take("call", f"/calls-log/{with_everything(told).public_id}/", "supervisor")
        self.take("desk-held-off", "/agent/", "amina")
        desk.on_break("Lunch", since=1500)
        self.take("desk-break", "/agent/", "amina")
        desk.on_break("Lunch", since=46.5 * 60)
        desk.missed(2)
        desk.message("Line 2 is being repaired: please note the number of whoever is cut off.")
        since = (timezone.now() - scene.seconds(900)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.take("desk-back", f"/agent/?since={since}", "amina")
        desk.known_caller()
        with transaction.atomic():
            amina = scene.put("amina", "ringing", since=4)
            rings = scene.call("support", "offered", ago=38, customer="+254722418377")
            made = scene.offer(rings, amina, "ringing", ago=4)
            later = timezone.now() + scene.seconds(3600)  # the web process sweeps, without a worker
            type(made).objects.filter(pk=made.pk).update(ring_until=later, check_at=later)
        self.take("desk-ringing", "/agent/", "amina")
        self.take("call-live", f"/calls-log/{rings.public_id}/", "supervisor")
        now = timezone.now()
        with transaction.atomic():
            scene.put("amina", "on_call", since=127)
            type(rings).objects.filter(pk=rings.pk).update(
                state="connected", agent=amina, connected_at=now
            )
            type(made).objects.filter(pk=made.pk).update(
                state="joined", joined_at=now, check_at=None
            )
        desk.write(made, "Wants to add two crates to the order of this morning.")
        self.take("desk-on-call", "/agent/", "amina")
        self.take("desk-sw", "/agent/", "amina", locale="sw")
        until = timezone.now() + scene.seconds(900)
        with transaction.atomic():
            scene.put("amina", "wrap_up", since=4, wrap_up_until=until)
            type(rings).objects.filter(pk=rings.pk).update(
                state="completed", ended_at=now + scene.seconds(127), offer=None
            )
            type(made).objects.filter(pk=made.pk).update(
                state="ended", ended_at=now + scene.seconds(1)
            )
        self.take("desk-wrap-up", "/agent/", "amina")
        from queues.models import Queue

        Queue.objects.update(disposition_required=True)
        self.take("desk-required", "/agent/", "amina", press="[data-testid=done]")
        self.take("desk-calls", "/agent/calls/", "amina")
        self.reports()
        self.files()
        self.kept()

    def planning(self) -> None:
        """Next week's plan: without a past, with one, and with numbers that cannot be meant."""
        from tests.pages import made_up_planning

        self.take("planning-empty", "/reports/planning/?queue=support", "supervisor")
        made_up_planning.weeks()
        self.take("planning", "/reports/planning/?queue=support", "supervisor")
        bad = "queue=suport&handle_time=0&patience=long&growth=900&agents=9&show=level&weeks=99"
        self.take("planning-bad", f"/reports/planning/?{bad}", "supervisor")

    def provider(self) -> None:
        """Differences with the provider: none, some, and a back-fill that runs."""
        from tests.pages import made_up_provider

        self.take("provider-empty", "/reports/provider/", "supervisor")
        made_up_provider.differences()
        self.take("provider", "/reports/provider/?show=all", "supervisor")
        made_up_provider.filling()
        self.take("provider-filling", "/reports/provider/?kind=nonsense", "supervisor")

    def kept(self) -> None:
        """What is kept; whom an administrator erases: at first, and what there is."""
        from django.contrib.auth.models import User

        User.objects.create_superuser("root", password="demo")
        self.sign_in("root")
        self.take("kept", "/reports/kept/", "supervisor")
        self.take("erasures", "/reports/erasures/", "root")

    def files(self) -> None:
        """Reports as files and as mails: none yet; in every state."""
        from tests.pages import made_up_files

        self.take("files-empty", "/reports/files/", "supervisor")
        self.take("schedules-empty", "/reports/schedules/", "supervisor")
        made_up_files.everything()
        self.take("files", "/reports/files/", "supervisor")
        self.take("schedules", "/reports/schedules/", "supervisor")
        self.take("schedule-form", "/admin/reporting/scheduledreport/add/", "supervisor")

    def room(self, scene: Any) -> None:
        """The board with somebody who needs help, its menus, and the screens on walls."""
        token = scene.needing_help()
        self.take("room", "/", "supervisor")
        self.take("room-agent", "/", "supervisor", press="[data-agent=david] .dots")
        self.take("room-talk", "/", "supervisor", press="[data-status=connected] .dots")
        self.take("room-waiting", "/", "supervisor", press="[data-status=waiting] .dots")
        self.take("room-queue", "/", "supervisor", press="[data-queue=billing] .dots")
        self.take("room-write", "/", "supervisor", press="[data-testid=write]")
        self.take("wall-links", "/wall-links/", "supervisor")
        self.take("wall", f"/wall/{token}/", "", sizes=WALLS)
        self.take("wall-ended", "/wall/none/", "", sizes=WALLS)

    def reports(self) -> None:
        """The reports over made-up weeks."""
        if self.only and "report" not in self.only:
            return
        from django.utils import timezone

        from tests.pages import made_up_reports

        self.take("report-empty", "/reports/service/?from=2020-01-01&to=2020-01-01", "supervisor")
        made_up_reports.weeks()
        today = timezone.localdate()
        one, week = (today - timedelta(days=days) for days in (1, 7))
        day, days = f"from={one}&to={one}", f"from={week}&to={one}"
        self.take("report-today", "/reports/", "supervisor")
        self.take("report-day", f"/reports/?{day}", "supervisor")
        self.take("report-service", f"/reports/service/?{day}", "supervisor")
        self.take("report-service-week", f"/reports/service/?{days}&queue=support", "supervisor")
        self.take("report-waits", f"/reports/waits/?{days}", "supervisor")
        self.take("report-hours", f"/reports/hours/?{days}", "supervisor")
        self.take("report-agents", f"/reports/agents/?{day}", "supervisor")
        self.take("report-agent", f"/reports/agents/?{day}&agent=amina", "supervisor")
        self.take("report-costs", f"/reports/costs/?{days}", "supervisor")
        self.take("report-books", f"/reports/books/?{days}", "supervisor")
        self.take("report-definitions", "/reports/definitions/", "supervisor")
        self.take("report-bad", "/reports/waits/?from=soon&to=2026-02-31&queue=suport&tz=Mars",
                  "supervisor")  # fmt: skip
        self.take("report-filters", f"/reports/service/?{days}", "supervisor",
                  press="[data-testid=filters]")  # fmt: skip

    def sign_in(self, name: str) -> None:
        context = self.browser.new_context()
        page = context.new_page()
        page.goto(f"{self.url}/login/")
        page.fill("#id_username", name)
        page.fill("#id_password", "demo")
        page.click("[data-testid=sign-in]")
        page.wait_for_selector("#live")
        self.cookies[name] = context.storage_state()
        context.close()

    def take(self, name: str, address: str, who: str, *, path: str = "", press: str = "",
             sizes: dict[str, tuple[int, int]] = WIDTHS, locale: str = "en") -> None:  # fmt: skip
        if self.only and not any(part in name for part in self.only.split(",")):
            return
        for width, (across, down) in sizes.items():
            for scheme in ("light", "dark"):
                look: dict[str, Any] = {"color_scheme": scheme, "locale": locale}
                context = self.browser.new_context(
                    viewport={"width": across, "height": down},
                    device_scale_factor=2 if across < 500 else 1,
                    storage_state=self.cookies.get(who),
                    **look,
                )
                page = context.new_page()
                page.on("console", lambda said: self._say(name, said.text))
                page.on("pageerror", lambda error: self._say(name, str(error)))
                page.goto(self.url + (path or address))
                page.wait_for_timeout(250)
                if press and page.is_visible(press):  # a phone has no list of keys
                    page.click(press)
                    page.wait_for_timeout(100)
                _check(name, width, page)
                page.screenshot(
                    path=self.target / f"{name}-{width}-{scheme}.png", full_page=not press
                )
                context.close()

    def _say(self, name: str, text: str) -> None:
        print(f"{name}: {text}")


def _check(name: str, width: str, page: Page) -> None:
    """Say where a page is wider than its window."""
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if wide > 0:
        print(f"{name} at {width} is {wide} px too wide")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
