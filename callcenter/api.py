"""What all routes of the API share: pages of results, errors in words, field helpers."""

from __future__ import annotations

import base64
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.defaults import page_not_found
from rest_framework import exceptions, status
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import as_serializer_error
from rest_framework.views import exception_handler as default_handler

from agents.refusals import Refused


class InUse(exceptions.APIException):
    """The row cannot be changed like this while calls live on it."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "This is in use by a live call."
    default_code = "in_use"


class TooLarge(exceptions.APIException):
    """The body is longer than any of ours (DATA_UPLOAD_MAX_MEMORY_SIZE)."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "too_large"


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer an address that is nowhere: under /api/ in JSON, like all of the API."""
    if request.path_info.startswith("/api/"):
        return JsonResponse({"detail": "Not found."}, status=404)
    return page_not_found(request, exception)


class Pagination(BasePagination):
    """`{results, next}`; `?limit=` up to 500 and an opaque `?cursor=` in `next`."""

    default_limit, most = 100, 500

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.request = request
        self.limit = self._limit(request.query_params.get("limit"))
        self.offset = self._offset(request.query_params.get("cursor"))
        rows = list(queryset[self.offset : self.offset + self.limit + 1])
        self.has_next = len(rows) > self.limit
        return rows[: self.limit]

    def get_paginated_response(self, data: Any) -> Response:
        following = None
        if self.has_next:
            raw = str(self.offset + self.limit).encode()
            cursor = base64.urlsafe_b64encode(raw).decode().rstrip("=")
            query = self.request.query_params.copy()
            query["cursor"] = cursor
            following = self.request.build_absolute_uri(f"?{query.urlencode()}")
        return Response({"results": data, "next": following})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {"type": "string", "format": "uri", "nullable": True},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "limit", "in": "query", "required": False,
                "schema": {"type": "integer", "minimum": 1, "maximum": self.most},
                "description": "Rows in one answer.",
            },
            {
                "name": "cursor", "in": "query", "required": False,
                "schema": {"type": "string"},
                "description": "From the `next` of an earlier answer.",
            },
        ]  # fmt: skip

    def _limit(self, raw: str | None) -> int:
        if raw is None:
            return self.default_limit
        if not raw.isascii() or not raw.isdecimal() or not 1 <= int(raw[:9]) <= self.most:
            raise exceptions.ValidationError({"limit": [f"A number from 1 to {self.most}."]})
        return int(raw)

    def _offset(self, raw: str | None) -> int:
        if not raw:
            return 0
        try:
            text = base64.urlsafe_b64decode(raw[:32] + "=" * (-len(raw[:32]) % 4)).decode()
            return min(int(text), 10_000_000) if text.isdecimal() else 0
        except ValueError as error:
            raise exceptions.ValidationError({"cursor": ["Not a cursor of ours."]}) from error


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer a model's own refusals at their field, like the serializers' ones."""
    if isinstance(error, Refused):
        error = InUse(str(error))
    elif isinstance(error, DjangoValidationError):
        error = exceptions.ValidationError(as_serializer_error(error))
    elif isinstance(error, RequestDataTooBig):
        error = TooLarge()
    elif isinstance(error, DataError):  # a NUL in the address, say
        error = exceptions.ParseError("A value of this request can be no value of ours.")
    elif isinstance(error, RecursionError):
        error = exceptions.ParseError("The body is nested too deeply.")
    return default_handler(error, context)
