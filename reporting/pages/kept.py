"""What is kept for how long; and, for administrators, the erasure of one person."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from callcenter.permissions import is_supervisor
from reporting import erasure, kept
from reporting.models import Erasure
from reporting.views import supervisors_only

SHOWN = 50


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Each class of data: for how long it is kept, and how much there is."""
    supervisors_only(request)
    context = {"kinds": list(kept.kinds()), "may_erase": request.user.is_superuser}
    return render(request, "reports/kept.html", context)


class Whom(forms.Form):
    """Whose number it is, why, and that it is meant."""

    number = forms.CharField(
        label=gettext_lazy("Number"), max_length=160,
        help_text=gettext_lazy("In the form +254…; 07… is read as +254 7…. Or a SIP address."),
        error_messages={"required": gettext_lazy("Enter a phone number or a SIP address.")},
    )  # fmt: skip
    reason = forms.CharField(
        label=gettext_lazy("Reason"), max_length=erasure.LONGEST_REASON, required=False,
        help_text=gettext_lazy("Why, and who asked for it. Without the number and the name."),
    )  # fmt: skip
    prefix = "erase"


@never_cache
@require_http_methods(["GET", "POST"])
def erasures(request: HttpRequest) -> HttpResponse:
    """Show what would go first; erase when that is confirmed."""
    if not (is_supervisor(request.user) and request.user.is_superuser):
        raise PermissionDenied(_("Erasing a person is for administrators."))
    form = Whom(request.POST if request.method == "POST" else None)
    found = None
    if request.method == "POST" and form.is_valid():
        number, reason = form.cleaned_data["number"], form.cleaned_data["reason"]
        try:
            if request.POST.get("confirm") == "yes":
                row = erasure.erase(
                    number, at=timezone.now(), actor=request.user, reason=reason
                )  # fmt: skip
                _tell(request, row)
                return redirect("erasures")
            found = erasure.look(number)
        except erasure.Refused as refused:
            form.add_error("number", str(refused))
    context: dict[str, Any] = {
        "form": form, "found": found,
        "erasures": Erasure.objects.select_related("requested_by")[:SHOWN],
    }  # fmt: skip
    return render(request, "reports/erasures.html", context, status=400 if form.errors else 200)


def _tell(request: HttpRequest, row: Erasure) -> None:
    if row.remaining:
        told = _("It is still found in %s places: see the log, and erase once more.")
        messages.error(request, told % row.remaining)
    else:
        messages.success(request, _("Erased. A search of everything finds the number nowhere."))
