"""Signing in: the password first, then the second factor where the account has one.

Wrong passwords are counted per user name and address by django-axes, in PostgreSQL, on this page
and wherever else a password is asked for. Until the second factor is shown nobody is signed in:
the session only remembers whose password was right.
"""

from __future__ import annotations

import math
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import login, views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from callcenter.access import second_factor

LOOPBACK = {"127.0.0.1", "::1"}
_HALF_WAY = "half_signed_in"  # in the session: whose password was right, when, and where to
_CODE_WITHIN = timedelta(minutes=5)


def client_address(request: HttpRequest) -> str | None:
    """Return the address by which wrong passwords are counted.

    Behind a proxy on this machine it is the last of X-Forwarded-For, the one that our own proxy
    wrote. From anywhere else it is the connection's: such a client may write what it likes.
    """
    peer: str | None = request.META.get("REMOTE_ADDR") or None
    if peer not in LOOPBACK:
        return peer
    last = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    try:
        return str(ip_address(last))
    except ValueError:
        return peer


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """Say for how long no password is taken from here."""
    username = str((credentials or {}).get("username") or "")
    attempt = (
        AccessAttempt.objects.filter(username=username, ip_address=client_address(request))
        .order_by("-attempt_time")
        .first()
    )
    began = attempt.attempt_time if attempt else timezone.now()
    left = (began + settings.AXES_COOLOFF_TIME - timezone.now()).total_seconds()
    context = {"minutes": max(1, math.ceil(left / 60)), "next": request.POST.get("next", "")}
    page = render(request, "registration/locked_out.html", context, status=429)
    page["Retry-After"] = str(max(1, math.ceil(left)))
    return page


class SignIn(views.LoginView):
    """The page with user name and password."""

    redirect_authenticated_user = True
    extra_context = {"languages": settings.LANGUAGES}  # each in its own words

    def form_valid(self, form: Any) -> HttpResponse:
        """Sign in; or ask for the code first, where the account has a second factor."""
        user = form.get_user()
        if not second_factor.is_set_up(user):
            return super().form_valid(form)
        self.request.session.cycle_key()
        self.request.session[_HALF_WAY] = {
            "user": user.pk,
            "backend": user.backend,
            "password": user.get_session_auth_hash(),
            "at": timezone.now().timestamp(),
            "to": self.get_redirect_url(),
        }
        return redirect("sign-in-code")


@login_not_required
@never_cache
@sensitive_post_parameters("code")
@require_http_methods(["GET", "HEAD", "POST"])
def code(request: HttpRequest) -> HttpResponse:
    """The second step: a code of the authenticator, or a recovery code."""
    half = request.session.get(_HALF_WAY)
    user = _whose(half) if half else None
    if half is None or user is None:
        request.session.pop(_HALF_WAY, None)
        return redirect("login")
    problem = ""
    if request.method == "POST":
        device, problem = second_factor.verify(user, request.POST.get("code", ""))
        if device is not None:
            login(request, user, backend=half["backend"])
            request.session.pop(_HALF_WAY, None)
            second_factor.mark_verified(request, device)
            return redirect(_safe(request, half["to"]))
    return render(request, "registration/code.html", {"problem": problem})


def _whose(half: dict[str, Any]) -> User | None:
    """Return the account that is half signed in, unless it took too long or has changed since."""
    if timezone.now().timestamp() - half["at"] > _CODE_WITHIN.total_seconds():
        return None
    user = User.objects.filter(pk=half["user"], is_active=True).first()
    if user is None or user.get_session_auth_hash() != half["password"]:
        return None
    return user


def _safe(request: HttpRequest, to: str) -> str:
    if url_has_allowed_host_and_scheme(to, {request.get_host()}, require_https=request.is_secure()):
        return to
    return resolve_url(settings.LOGIN_REDIRECT_URL)


@login_not_required
@require_GET
def admin_door(request: HttpRequest) -> HttpResponse:
    """Send whom the admin does not know to the one page for signing in."""
    to = request.GET.get("next", "") or reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(to, reverse("login"))
    if not admin.site.has_permission(request):
        raise PermissionDenied(_("The admin is for supervisors and administrators."))
    return redirect(_safe(request, to))


class ChangePassword(views.PasswordChangeView):
    """Changing one's own password; every other session of the account ends with it."""

    @method_decorator(never_cache)
    def dispatch(self, *args: Any, **kwargs: Any) -> Any:
        """Never kept by a browser."""
        return super().dispatch(*args, **kwargs)
