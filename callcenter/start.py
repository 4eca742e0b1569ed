"""The pages that lead to the first call: the steps, the check of the account, and its addresses."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from callcenter import account_check, first_run
from callcenter.permissions import is_supervisor
from callcenter.sautikit import errors

log = logging.getLogger(__name__)


@never_cache
@require_GET
def start(request: HttpRequest) -> HttpResponse:
    """What is done and what is next; the token in the addresses is for administrators."""
    _supervisors_only(request)
    steps = first_run.steps()
    context = {
        "steps": steps,
        "next": next((step.key for step in steps if not step.is_done), ""),
        "addresses": [
            (_("Voice URL"), _address(request, first_run.INBOUND)),
            (_("Events URL"), _address(request, first_run.EVENTS)),
        ],
        "shows_token": request.user.is_superuser,
    }
    return render(request, "start/start.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def check(request: HttpRequest) -> HttpResponse:
    """Check the account when asked to: that takes some seconds, and asks others."""
    _supervisors_only(request)
    if request.method != "POST":
        return render(request, "start/check.html", {})
    at = timezone.now()
    if not account_check.may_check(at):
        told = _("Somebody has just checked. Wait ten seconds.")
        return render(request, "start/check.html", {"problem": told}, status=429)
    context = {"lines": account_check.check(at=at), "at": at}
    return render(request, "start/check.html", context)


@never_cache
@require_POST
def routing(request: HttpRequest) -> HttpResponse:
    """Have Sautikit call us on a number: first shown, then done when confirmed."""
    if not (is_supervisor(request.user) and request.user.is_superuser):
        raise PermissionDenied(_("Addresses at Sautikit are set by administrators."))
    e164 = request.POST.get("number", "")
    context: dict[str, Any] = {
        "number": e164,
        "voice": _address(request, first_run.INBOUND),
        "events": _address(request, first_run.EVENTS),
    }
    if e164 not in account_check.our_numbers():
        context["problem"] = _("%s is on no queue and no menu.") % e164[:32]
    elif request.POST.get("confirm") == "yes":
        try:
            account_check.set_routing(e164)
        except errors.SautikitError as error:
            context["problem"] = _("Sautikit did not take them: %s") % error
        else:
            log.warning("routing at Sautikit was set by %s", request.user.get_username())
            context["is_done"] = True
    return render(request, "start/routing.html", context)


def _address(request: HttpRequest, path: str) -> str:
    if request.user.is_superuser:
        return first_run.routing_url(path)
    return first_run.without_token(path)


def _supervisors_only(request: HttpRequest) -> None:
    if not is_supervisor(request.user):
        raise PermissionDenied(_("This page is for supervisors."))
