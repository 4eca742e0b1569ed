"""The calls and answers that the tests of the client share."""

from callcenter.sautikit.client import PlaceCall, PlacedCall, SautikitClient
from callcenter.sautikit.commands import Shape

BASE = "https://api.sautikit.test"
CALLS = f"{BASE}/v1/calls"
UUID = "0193c0de-1111-7abc-8def-000000000101"
CALL = PlaceCall(
    to="+254711222333",
    from_="+254700000001",
    answer_url="https://calls.example.com/calls/agent-join?queue=1&token=a.b",
    status_url="https://calls.example.com/calls/agent-status?token=a.b",
    client_request_id="offer-1",
)
CREATED = {
    "call_id": UUID,
    "session_id": "HD_0a1b2c3d4e5f",
    "status": "ringing",
    "client_request_id": "offer-1",
}


def place(client: SautikitClient, shape: Shape = "sdk", key: str = "offer-1-sdk") -> PlacedCall:
    return client.place_call(CALL, shape=shape, idempotency_key=key)


def envelope(code: str, message: str = "no") -> dict[str, object]:
    """Return an error body as in contract 2.2."""
    return {"error": {"code": code, "message": message, "request_id": "req_9f3c21"}}
