"""The wall view, for a screen that nobody signs in at, and the page of its links."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from callcenter import live as streams
from callcenter.access.sign_in import client_address
from queues.models import Queue
from reporting import live, shared, wall_links
from reporting.models import WallLink
from reporting.views import supervisors_only

A_MINUTE = 60.0
MOST_A_MINUTE = 600  # requests of one address: ten screens behind it, each once a second
MOST_WRONG_A_MINUTE = 20  # of these with a token that is none
HEADERS = {
    "Referrer-Policy": "no-referrer",  # the address is the secret
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
}


class Limit:
    """Counts requests by address and minute, in this process."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._counts: dict[str, int] = {}
        self._until = 0.0
        self._lock = threading.Lock()

    def is_over(self, address: str) -> bool:
        """Whether this address has used up its minute."""
        return self._counts.get(address, 0) >= self.most and time.monotonic() < self._until

    def count(self, address: str) -> None:
        """Count one request."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._counts, self._until = {}, time.monotonic() + A_MINUTE
            self._counts[address] = self._counts.get(address, 0) + 1


requests, wrong = Limit(MOST_A_MINUTE), Limit(MOST_WRONG_A_MINUTE)


def _with_link(
    view: Callable[[HttpRequest, WallLink, str], HttpResponse],
) -> Callable[[HttpRequest, str], HttpResponse]:
    """Find the link of the token: without one there is nothing but a word."""

    @wraps(view)
    def answer(request: HttpRequest, token: str) -> HttpResponse:
        reply = _refusal(request) or _look(request, token)
        if isinstance(reply, WallLink):
            reply = view(request, reply, token)
        for name, value in HEADERS.items():
            reply[name] = value
        return reply

    return login_not_required(require_GET(answer))


def _refusal(request: HttpRequest) -> HttpResponse | None:
    address = client_address(request) or ""
    requests.count(address)
    if requests.is_over(address) or wrong.is_over(address):
        reply = HttpResponse(_("Too many requests. Please wait a minute."), status=429)
        reply["Retry-After"] = str(int(A_MINUTE))
        return reply
    return None


def _look(request: HttpRequest, token: str) -> WallLink | HttpResponse:
    link = wall_links.find(token, at=timezone.now())
    if link is None:
        wrong.count(client_address(request) or "")
        return render(request, "reporting/wall_ended.html", status=403)
    return link


@_with_link
def wall(request: HttpRequest, link: WallLink, token: str) -> HttpResponse:
    """The whole page."""
    context = {"wall": _shown(link), "now": timezone.now().isoformat(), "token": token}
    return render(request, "reporting/wall.html", context | {"link": link})


@_with_link
def now(request: HttpRequest, link: WallLink, token: str) -> HttpResponse:
    """The fragment that the page fetches again when it is stale."""

    def made() -> str:
        return render_to_string("reporting/_wall.html", {"wall": _shown(link), "now": _NOW})

    key = ("wall", link.pk, get_language(), timezone.get_current_timezone_name())
    html, is_old = shared.fragment(key, made)
    reply = HttpResponse(html.replace(_NOW, timezone.now().isoformat(), 1))
    if is_old:
        reply["HX-Trigger"] = "again"
    return reply


_NOW = "\x00now\x00"


def _shown(link: WallLink) -> dict[str, Any]:
    slugs = set(link.queues.values_list("slug", flat=True))
    return wall_links.shown(live.snapshot(timezone.now()), slugs)


def _may_watch(request: HttpRequest, token: str) -> bool:
    return _refusal(request) is None and isinstance(_look(request, token), WallLink)


@login_not_required
async def events(request: HttpRequest, token: str) -> HttpResponseBase:
    """The event stream of a wall screen: it says `stale`, and nothing else."""
    if request.method != "GET" or not await streams.ask(lambda: _may_watch(request, token)):
        return HttpResponse(status=403)
    return streams.stream(streams.BOARD)


# --- The links -----------------------------------------------------------------------------------


class NewLink(forms.Form):
    """Where the screen hangs, and which queues it shows. `once` makes a repeat known as one."""

    once = forms.CharField(widget=forms.HiddenInput, max_length=36, initial=uuid.uuid4)
    name = forms.CharField(label=gettext_lazy("Where the screen hangs"), max_length=60)
    queues = forms.ModelMultipleChoiceField(
        Queue.objects.filter(retired_at=None),
        required=False,
        label=gettext_lazy("Queues"),
        help_text=gettext_lazy("None chosen: every queue."),
        widget=forms.CheckboxSelectMultiple,
    )


@require_http_methods(["GET", "POST"])
def links(request: HttpRequest) -> HttpResponse:
    """All links, and a new one, whose address is shown this once."""
    supervisors_only(request)
    form, address = NewLink(request.POST if request.method == "POST" else None), ""
    made = request.session.get("wall_links_made", [])
    if form.is_valid() and form.cleaned_data["once"] in made:  # the page was loaded again
        return redirect("wall-links")
    if form.is_valid():
        request.session["wall_links_made"] = [*made[-4:], form.cleaned_data["once"]]
        queues = [queue.pk for queue in form.cleaned_data["queues"]]
        _link, token = wall_links.make(
            form.cleaned_data["name"], queues, at=timezone.now(), user=request.user
        )
        address, form = request.build_absolute_uri(reverse("wall", args=[token])), NewLink()
    rows = WallLink.objects.select_related("created_by").prefetch_related("queues")
    context = {
        "form": form,
        "address": address,
        "links": rows.filter(revoked_at=None),
        "revoked": rows.exclude(revoked_at=None).order_by("-revoked_at")[:20],
    }
    page = render(request, "reporting/wall_links.html", context)
    page["Cache-Control"] = "no-store"
    return page


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """End a link at once."""
    supervisors_only(request)
    if wall_links.revoke(pk, at=timezone.now()):
        messages.success(request, _("The link is revoked: its screens go blank."))
    else:
        messages.error(request, _("That link was revoked already."))
    return redirect("wall-links")
