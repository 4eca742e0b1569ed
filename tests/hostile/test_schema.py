"""Every operation of the API against its own description: whatever is sent, nothing breaks."""

import os

import pytest
import requests
import schemathesis
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.authtoken.models import Token
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip
PER_OPERATION = int(os.environ.get("HOSTILE_EXAMPLES", "12"))


def described() -> schemathesis.BaseSchema:
    from drf_spectacular.generators import SchemaGenerator

    return schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))


def operations():
    for found in described().get_all_operations():
        operation = found.ok()
        yield pytest.param(operation, id=f"{operation.method.upper()} {operation.path}")


@pytest.mark.django_db
@pytest.mark.parametrize("operation", list(operations()))
def test_whatever_is_sent_is_answered_as_the_schema_says(operation, centre, picture):
    token = Token.objects.create(user=User.objects.get(username="root")).key
    client = Client(raise_request_exception=False)

    @settings(
        max_examples=PER_OPERATION, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(), known=st.booleans())
    def send(case, known):
        if known:  # beside names that do not exist, those that do
            slug = "main" if "menus" in operation.path else "support"
            names = {"username": "amina", "slug": slug}
            case.path_parameters = {**(case.path_parameters or {}), **names}
        before = picture()
        with transaction.atomic():
            answer = sent(client, case, token)
            case.validate_response(answer, checks=CHECKS)
            if answer.status_code >= 400:
                assert picture() == before
            transaction.set_rollback(True)

    send()


def sent(client: Client, case: schemathesis.Case, token: str) -> schemathesis.Response:
    """Send the case to the application itself."""
    made = case.as_transport_kwargs(base_url="http://testserver")
    prepared = requests.Request(
        made["method"], made["url"],
        **{name: made[name] for name in ("params", "json", "data", "headers") if name in made},
    ).prepare()  # fmt: skip
    headers = {
        name: value for name, value in prepared.headers.items()
        if name.lower() not in {"host", "cookie", "content-length", "content-type", "authorization"}
    }  # fmt: skip
    body = prepared.body or b""
    reply = client.generic(
        str(prepared.method), prepared.path_url,
        body if isinstance(body, bytes) else body.encode(),
        content_type=prepared.headers.get("Content-Type", "application/json"),
        headers={**headers, "Authorization": f"Token {token}"},
    )  # fmt: skip
    return schemathesis.Response(
        status_code=reply.status_code,
        headers={name.lower(): [value] for name, value in reply.items()},
        content=reply.content,
        request=prepared,
        elapsed=0.0,
        verify=False,
    )
