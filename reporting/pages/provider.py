"""The provider's records against ours: differences, sums of days, and back-fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from queues import provider
from reporting import amounts, typed
from reporting.mirror import back_fill, differences, noting, polling, stats
from reporting.models import BackFill, Difference
from reporting.views import supervisors_only

ON_A_PAGE = 50
LATE = timedelta(minutes=2)  # a mirror that was not read for so long is behind
KINDS = {
    "unknown": gettext_lazy("Unknown record"),
    "no_record": gettext_lazy("No record"),
    "answered": gettext_lazy("Answered or not"),
    "duration": gettext_lazy("Length of the talk"),
    "changed": gettext_lazy("Changed after its end"),
    "malformed": gettext_lazy("Could not be read"),
    "stats": gettext_lazy("Sums of a day"),
}


class Range(forms.Form):
    """The days that are read back, both included."""

    since = forms.DateField(
        label=gettext_lazy("From"), widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    until = forms.DateField(
        label=gettext_lazy("To, that day included"),
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
    )
    prefix = "fill"

    def clean(self) -> dict[str, Any]:
        """Refuse what is no range of the past."""
        cleaned = self.cleaned_data
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and since > timezone.localdate():
            self.add_error("since", _("This day is still to come."))
        elif since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        elif since and until and until - since > back_fill.LONGEST:
            self.add_error("since", _("At most two years can be read back at once."))
        elif since and since.year < typed.YEARS[0]:
            self.add_error("since", _("There were no calls so long ago."))
        return cleaned


@dataclass
class Asked:
    """Which differences are to be seen; `notes` are sentences about what is not taken."""

    is_open: bool = True
    kind: str = ""
    day: date | None = None
    page: int = 1
    notes: list[str] = field(default_factory=list)


def _asked(request: HttpRequest) -> Asked:
    given = request.GET
    asked = Asked(is_open=given.get("show", "open") != "all")
    if raw := typed.printable(given.get("kind", "")):
        pairs = [(key, str(name)) for key, name in KINDS.items()]
        asked.kind = typed.nearest(raw, pairs)[0] or ""
        if not asked.kind:
            asked.notes.append(_("There is no such kind; all kinds are shown."))
    if raw := typed.printable(given.get("day", "")):
        asked.day, note = typed.day(raw)
        asked.notes += [note] if note else []
    page = given.get("page", "1")
    asked.page = min(max(int(page), 1), 10_000) if page.isascii() and page.isdecimal() else 1
    return asked


def _rows(asked: Asked) -> QuerySet[Difference]:
    rows = Difference.objects.select_related("call", "settled_by")
    if asked.is_open:
        rows = rows.filter(settled_at=None)
    if asked.kind:
        rows = rows.filter(kind=asked.kind)
    if asked.day:
        rows = rows.filter(happened_at__gte=_midnight(asked.day))
        rows = rows.filter(happened_at__lt=_midnight(asked.day + timedelta(days=1)))
    return rows


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time()))


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """The whole page."""
    supervisors_only(request)
    return _show(request, Range())


def _show(request: HttpRequest, form: Range, status: int = 200) -> HttpResponse:
    at, asked = timezone.now(), _asked(request)
    first = (asked.page - 1) * ON_A_PAGE
    rows = list(_rows(asked)[first : first + ON_A_PAGE + 1])
    has_more, rows = len(rows) > ON_A_PAGE, rows[:ON_A_PAGE]
    for row in rows:
        row.kind_name = KINDS.get(row.kind, row.kind)  # type: ignore[attr-defined]
        row.theirs, row.ours, row.done = (
            _(said) if said else "" for said in (row.theirs, row.ours, row.done)
        )
    mark = provider.recall(polling.POLLED_UNTIL)
    read_at = datetime.fromisoformat(mark) if mark else None
    counts = differences.open_by_kind()
    context = {
        "asked": None, "filters": asked, "rows": rows, "form": form,
        "kinds": [(key, name, counts.get(key, 0)) for key, name in KINDS.items()],
        "open": sum(counts.values()), "read_at": read_at,
        "is_behind": read_at is not None and read_at < at - LATE,
        "days": _days(), "fill": _latest(), "running": _running(),
        "earlier": asked.page + 1 if has_more else None,
        "later": asked.page - 1 if asked.page > 1 else None,
    }  # fmt: skip
    return render(request, "reports/provider.html", context, status=status)


def _days() -> dict[str, Any] | None:
    """Return the last comparison of the days' sums, newest first."""
    table = provider.recall(stats.COMPARED)
    if not isinstance(table, dict):
        return None
    rows = []
    for day in reversed(table["days"]):
        theirs, ours = day["theirs"], day["ours"]
        pairs = [_pair(name, theirs[name], ours and ours[name]) for name in stats.SUMS]
        start = datetime.fromisoformat(day["start"])
        rows.append({
            "start": start, "end": start + stats.A_DAY, "is_read": ours is not None,
            "pairs": pairs, "differs": any(pair["differs"] for pair in pairs),
        })  # fmt: skip
    at = datetime.fromisoformat(table["at"])
    return {"rows": rows, "at": at, "currency": table["currency"]}


def _pair(name: str, theirs: int | None, ours: int | None) -> dict[str, Any]:
    def shown(value: int | None) -> str:
        if name == "spend_minor":
            return amounts.money(value, "")
        return amounts.NONE if value is None else str(value)

    differs = theirs is not None and ours is not None and theirs != ours
    return {"theirs": shown(theirs), "ours": shown(ours), "differs": differs}


# --- Back-fills ----------------------------------------------------------------------------------


def _latest() -> dict[str, Any] | None:
    fill = BackFill.objects.select_related("requested_by").first()
    if fill is None:
        return None
    return {
        "row": fill, "error": _(fill.error) if fill.error else "",
        "is_running": fill.state == BackFill.State.RUNNING,
        "is_stopped": fill.state == BackFill.State.STOPPED,
        "percent": round(100 * back_fill.progress(fill)),
    }  # fmt: skip


def _running() -> bool:
    return BackFill.objects.filter(state=BackFill.State.RUNNING).exists()


@require_http_methods(["GET", "POST"])
def fill(request: HttpRequest) -> HttpResponse:
    """How far the last back-fill is, which the page fetches again; by POST, begin one."""
    supervisors_only(request)
    if request.method == "GET":
        return render(request, "reports/_back_fill.html", {"fill": _latest()})
    form = Range(request.POST)
    if form.is_valid():
        since = _midnight(form.cleaned_data["since"])
        until = _midnight(form.cleaned_data["until"] + timedelta(days=1))
        try:
            back_fill.begin(since, until, at=timezone.now(), user=request.user)
        except back_fill.Refused as error:
            form.add_error(None, _(str(error)))
        else:
            messages.success(request, _("The back-fill begins in a few seconds."))
            return redirect("report-provider")
    return _show(request, form, status=400)


@require_POST
def stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop a back-fill; what was read is kept."""
    supervisors_only(request)
    if back_fill.stop(pk, at=timezone.now()):
        messages.success(request, _("The back-fill is stopped. What was read is kept."))
    else:
        messages.error(request, _("That back-fill had ended already."))
    return redirect("report-provider")


# --- Settling ------------------------------------------------------------------------------------


@require_POST
def settle(request: HttpRequest, pk: int) -> HttpResponse:
    """Settle a difference by hand, with a note that says why."""
    supervisors_only(request)
    note = " ".join(request.POST.get("note", "").replace("\x00", "").split())[:150]
    if not note:
        messages.error(request, _("Say in a few words why it is settled."))
    elif noting.settle_by_hand(pk, note=note, user=request.user, at=timezone.now()):
        messages.success(request, _("Settled."))
    else:
        messages.error(request, _("That was settled already."))
    return redirect("report-provider")
