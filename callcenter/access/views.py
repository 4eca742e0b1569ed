"""One's own second factor: set up, confirm, recovery codes, remove. Each asks for the password."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from callcenter.access import second_factor
from callcenter.permissions import must_have_second_factor, owes_second_factor

View = Callable[[HttpRequest], HttpResponse]


@never_cache
@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """Whether it is set up, and what can be done."""
    return _overview(request)


def _overview(request: HttpRequest, problem: str = "") -> HttpResponse:
    context = {
        "is_set_up": second_factor.is_set_up(request.user),
        "codes_left": second_factor.recovery_codes_left(request.user),
        "is_required": must_have_second_factor(request.user),
        "owes": owes_second_factor(request.user),
        "problem": problem,
    }
    return render(request, "access/second_factor.html", context)


def _with_password(view: View) -> View:
    """Let only somebody go on who knows the password; wrong ones count as they do at sign-in."""

    @never_cache
    @sensitive_post_parameters("password")
    @require_POST
    @wraps(view)
    def asked(request: HttpRequest) -> HttpResponse:
        password = request.POST.get("password", "")
        known = authenticate(request, username=request.user.get_username(), password=password)
        if known is None or known.pk != request.user.pk:
            return _overview(request, _("That password is not right."))
        if second_factor.is_set_up(request.user) and not _is_verified(request):
            return _overview(request, _("Log out, and sign in again with a code."))
        return view(request)

    return asked


def _is_verified(request: HttpRequest) -> bool:
    return bool(request.user.is_verified())  # type: ignore[union-attr]  # django-otp adds it


@_with_password
def begin(request: HttpRequest) -> HttpResponse:
    """Make a new authenticator; the present one stays in use until the new one has shown a code."""
    second_factor.begin(request.user)
    return redirect("second-factor-confirm")


@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Show the new authenticator's key, and take it into use with its first code."""
    problem = ""
    if request.method == "POST":
        device, problem = second_factor.confirm(request.user, request.POST.get("code", ""))
        if device is not None:
            request.session.cycle_key()
            second_factor.mark_verified(request, device)
            return _show_codes(request)
    device = second_factor.begun(request.user)
    if device is None:
        return redirect("second-factor")
    context = {
        "picture": second_factor.picture(device),
        "key": second_factor.typed_key(device),
        "problem": problem,
    }
    return render(request, "access/second_factor_confirm.html", context)


@_with_password
def codes(request: HttpRequest) -> HttpResponse:
    """Make new recovery codes; the old ones are worth nothing from now on."""
    if not second_factor.is_set_up(request.user):
        return redirect("second-factor")
    return _show_codes(request)


def _show_codes(request: HttpRequest) -> HttpResponse:
    context = {"codes": second_factor.new_recovery_codes(request.user)}
    return render(request, "access/recovery_codes.html", context)


@_with_password
def remove(request: HttpRequest) -> HttpResponse:
    """Take the second factor off one's own account, where it is not required."""
    if must_have_second_factor(request.user):
        return _overview(request, _("This centre requires a second factor for your account."))
    second_factor.remove(request.user)
    return redirect("second-factor")
