"""What the description of the API says of every route alike: how a refusal looks."""

from __future__ import annotations

from typing import Any

REFUSALS = {
    "400": "Something in the request cannot be: said at the field, or in `detail`.",
    "401": "No sign-in and no token, or a wrong one.",
    "403": "Signed in, and not allowed to do this.",
    "404": "There is no such thing.",
    "405": "This address does not take this method.",
    "406": "The answer is JSON only.",
    "409": "It cannot be done as things stand now: in use, or not free.",
    "415": "The body is JSON only.",
}
ERROR = {
    "type": "object",
    "description": "A sentence in `detail`, or lists of sentences by the name of the field.",
    "additionalProperties": {},
    "properties": {"detail": {"type": "string"}},
}
METHODS = {"get", "post", "put", "patch", "delete"}


def add_refusals(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Add the answers of 400 and above to every operation that can give them."""
    result.setdefault("components", {}).setdefault("schemas", {})["Error"] = ERROR
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            if method in METHODS:
                for status in _possible(path, method, operation):
                    operation["responses"].setdefault(
                        status,
                        {
                            "description": REFUSALS[status],
                            "content": {
                                "application/json": {
                                    "schema": {"$ref": "#/components/schemas/Error"}
                                }
                            },
                        },
                    )
    return result


def _possible(path: str, method: str, operation: dict[str, Any]) -> set[str]:
    statuses = {"400", "401", "403", "405", "406"}
    if "{" in path:
        statuses.add("404")
    if method != "get":
        statuses |= {"404", "409"}
    if "requestBody" in operation:
        statuses.add("415")
    return statuses
