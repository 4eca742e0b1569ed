"""Sentences on our pages that are not written here: named for our catalogues.

Django's own, which it has in English only in some of our languages; and those of the provider's
edge, which knows nothing of Django. Nothing imports this.
"""

from django.utils.translation import gettext_noop as _
from django.utils.translation import ngettext_lazy

OF_DJANGO = [
    _("Old password"),
    _("New password"),
    _("New password confirmation"),
    _("Enter the same password as before, for verification."),
    _("Your old password was entered incorrectly. Please enter it again."),
    _("The two password fields didn’t match."),
    _("Your password can’t be too similar to your other personal information."),
    _("Your password can’t be a commonly used password."),
    _("Your password can’t be entirely numeric."),
    ngettext_lazy(
        "Your password must contain at least %(min_length)d character.",
        "Your password must contain at least %(min_length)d characters.",
    ),
    ngettext_lazy(
        "This password is too short. It must contain at least %(min_length)d character.",
        "This password is too short. It must contain at least %(min_length)d characters.",
    ),
    _("The password is too similar to the %(verbose_name)s."),
    _("This password is too common."),
    _("This password is entirely numeric."),
    _("This field is required."),
    _(
        "Please enter a correct %(username)s and password. "
        "Note that both fields may be case-sensitive."
    ),
]
OF_THE_EDGE = [
    _("Enter a phone number or a SIP address."),
    _("A SIP address looks like sip:name@host.example.com."),
    _(
        "A phone number is written with its country code, like +254700000111; "
        "only Kenyan ones may start with 0."
    ),
]
