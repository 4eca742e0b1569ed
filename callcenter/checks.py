"""System checks: the settings of a real centre, wherever they come from."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import Error, Tags, register

from callcenter.launch import dotenv


@register(Tags.security, deploy=True)
def settings_of_a_real_centre(app_configs: Any, **kwargs: Any) -> list[Error]:
    """callcenter.E001: a setting that a real account needs is missing or unsafe."""
    if settings.DEMO:
        return []
    read = {name: os.environ.get(name, "") for name in os.environ}
    return [Error(sentence, id="callcenter.E001") for sentence in dotenv.problems(read)]


@register(Tags.security)
def signatures_can_be_checked(app_configs: Any, **kwargs: Any) -> list[Error]:
    """callcenter.E002: signatures are required, and there is no secret to check them with."""
    if settings.SAUTIKIT_REQUIRE_SIGNATURE and not settings.SAUTIKIT_SIGNING_SECRETS:
        return [
            Error(
                "SAUTIKIT_REQUIRE_SIGNATURE is true and SAUTIKIT_SIGNING_SECRETS is empty: every "
                "webhook would be refused. Set the secrets, or do not require signatures.",
                id="callcenter.E002",
            )
        ]
    return []
