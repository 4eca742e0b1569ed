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
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from callcenter.embedded import free_port
from tests import services

WIDTHS = {"phone": (360, 760), "tablet": (768, 1024), "desktop": (1440, 900)}


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

        scene.centre()
        self.sign_in("supervisor")
        self.sign_in("amina")
        self.take("login", "/login/", "")
        self.take("board-empty", "/", "supervisor")
        self.take("log-empty", "/calls-log/", "supervisor")
        self.take("password", "/password/", "amina")
        self.take("forbidden", "/", "amina", path="/calls-log/")
        self.take("not-found", "/nowhere/", "supervisor")
        scene.put("amina", presence="offline")
        self.take("desk-offline", "/agent/", "amina")
        scene.history()
        told = scene.told()
        amina = scene.put("amina", since=312)
        self.take("desk-idle", "/agent/", "amina")
        scene.busy()
        self.take("board", "/", "supervisor")
        self.take("log", "/calls-log/", "supervisor")
        self.take("log-none", "/calls-log/?number=999999", "supervisor")
        self.take("call", f"/calls-log/{told.public_id}/", "supervisor")
        self.take("desk-held-off", "/agent/", "amina")
        scene.put("amina", presence="break", since=1500, presence_reason="Lunch")
        self.take("desk-break", "/agent/", "amina")
        with transaction.atomic():
            amina = scene.put("amina", "ringing", since=4)
            rings = scene.call("support", "offered", ago=38, customer="+254722418377")
            made = scene.offer(rings, amina, "ringing", ago=4)
        self.take("desk-ringing", "/agent/", "amina")
        self.take("call-live", f"/calls-log/{rings.public_id}/", "supervisor")
        now = timezone.now()
        with transaction.atomic():
            scene.put("amina", "on_call", since=127)
            type(rings).objects.filter(pk=rings.pk).update(
                state="connected", agent=amina, connected_at=now
            )
            type(made).objects.filter(pk=made.pk).update(state="joined", joined_at=now)
        self.take("desk-on-call", "/agent/", "amina")
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

    def take(self, name: str, address: str, who: str, *, path: str = "") -> None:
        if self.only and self.only not in name:
            return
        for width, (across, down) in WIDTHS.items():
            for scheme in ("light", "dark"):
                look: dict[str, Any] = {"color_scheme": scheme}
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
                _check(name, width, page)
                page.screenshot(path=self.target / f"{name}-{width}-{scheme}.png", full_page=True)
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
