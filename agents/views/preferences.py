"""One's own preferences: language, time zone, sounds, and the phone for listening in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from agents.models import Preferences
from callcenter import preferences


class PreferencesForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """What is typed is looked for among the zones, in any case, with blanks for underscores."""

    phone = Preferences._meta.get_field("phone").formfield()

    class Meta:
        model = Preferences
        fields = ["language", "time_zone", "sounds", "phone"]

    def clean_time_zone(self) -> str:
        """Return the zone's name as it is written."""
        typed = self.cleaned_data["time_zone"].strip().replace(" ", "_")
        if not typed:
            return ""
        for name in preferences.zones():
            if name.lower() == typed.lower():
                return name
        raise forms.ValidationError(
            _("There is no time zone of this name. Choose one of the list, such as Africa/Nairobi.")
        )


@require_http_methods(["GET", "HEAD", "POST"])
def own(request: HttpRequest) -> HttpResponse:
    """Show them; take over what was typed, or say at the field why not."""
    key: Any = request.user.pk
    mine = Preferences.objects.filter(pk=key).first() or Preferences(pk=key)
    form = PreferencesForm(request.POST or None, instance=mine)
    if request.method == "POST" and form.is_valid():
        kept = form.save()
        preferences.remember(request.session, kept.language, kept.time_zone)
        with translation.override(_from_now_on(request, kept.language)):
            messages.success(request, _("Your preferences are saved."))
        return redirect("preferences")
    return render(request, "preferences.html", _context(form))


def _from_now_on(request: HttpRequest, language: str) -> str:
    return language or translation.get_language_from_request(request)


def _context(form: PreferencesForm) -> dict[str, Any]:
    return {
        "form": form,
        "languages": settings.LANGUAGES,
        "zones": preferences.zones(),
        "site_zone": settings.TIME_ZONE,
    }
