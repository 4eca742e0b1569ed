"""The REST API as another program uses it: JSON in, JSON out."""

from typing import Any

from rest_framework.test import APIClient


class Api(APIClient):
    default_format = "json"


def api(user: Any = None) -> Api:
    """A client that acts as `user`; nobody without one."""
    client = Api()
    client.force_authenticate(user)
    return client
