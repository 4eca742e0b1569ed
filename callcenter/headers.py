"""What a browser may do with our pages: the content security policies, and the smaller headers.

The strict policy is that of every address but two: the admin and the API's page bring scripts and
styles of others. docs/security.md has each policy with its reasons.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.http import HttpRequest, HttpResponseBase

STRICT: dict[str, Any] = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF],
    "font-src": [SELF],
    "media-src": [SELF],  # recordings
    "connect-src": [SELF],
    "form-action": [SELF],
    "base-uri": [NONE],
    "frame-ancestors": [NONE],
}
# The theme of the admin has scripts and styles in its pages, and its Alpine evaluates attributes.
ADMIN: dict[str, Any] = {
    **STRICT,
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
}
# Swagger UI writes style attributes and draws with data: images; its scripts are all files.
API_DOCS: dict[str, Any] = {
    **STRICT,
    "style-src": [SELF, UNSAFE_INLINE],
    "img-src": [SELF, "data:"],
}
OTHERS = {"/admin/": ADMIN, "/api/docs/": API_DOCS}

FIXED = {
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), publickey-credentials-get=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Headers(CSPMiddleware):
    """Writes the policy of the address, once per address and process, and the fixed headers."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Add the headers; one that a view has set itself stays."""
        if "Content-Security-Policy" not in response:
            response["Content-Security-Policy"] = policy(_kind(request.path_info))
        for name, value in FIXED.items():
            response.setdefault(name, value)
        return response


def _kind(path: str) -> str:
    return next((prefix for prefix in OTHERS if path.startswith(prefix)), "")


@cache
def policy(kind: str) -> str:
    """Return the policy of the addresses under `kind`, a key of OTHERS; "" is the strict one."""
    return str(build_policy(OTHERS.get(kind, STRICT)))
