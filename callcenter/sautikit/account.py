"""The account behind the key: wallet, numbers, and where they lead (contract 3.10, 3.11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from callcenter.sautikit import answers, bodies
from callcenter.sautikit.bodies import pick
from callcenter.sautikit.commands import Wallet
from callcenter.sautikit.errors import NotFound, Rejected
from callcenter.sautikit.phone import party

WALLETS = ("/v1/wallet", "/v1/wallet/balance")  # both appear in the docs
NUMBERS = "/v1/numbers"
_VOICE = ("voice_callback_url", "voice_url", "routing_url")
_LISTS = ("numbers", "data")


@dataclass(frozen=True)
class OwnedNumber:
    """A number of the account. An address is None where the answer does not tell it."""

    id: str
    e164: str
    status: str = ""
    voice_url: str | None = None
    events_url: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether it takes calls; a status that is not told is no obstacle."""
        return self.status in {"", "active", "assigned"}


class Account:
    """What a client asks about the account; `_send` is the client's own."""

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        raise NotImplementedError

    def wallet(self) -> Wallet:
        """Return what the wallet holds."""
        try:
            response = self._send("GET", WALLETS[0])
        except NotFound:
            response = self._send("GET", WALLETS[1])
        answer = answers.value(response)
        found = bodies.layers(answer) if isinstance(answer, dict) else ()
        found += tuple(w for layer in found if isinstance(w := layer.get("wallet"), dict))
        for layer in found:
            balance = bodies.signed(layer.get("balance_minor"))
            if balance is not None:
                threshold = bodies.signed(layer.get("low_balance_threshold_minor"))
                return Wallet(balance, pick([layer], ("currency",), 8).upper(), threshold)
        raise answers.unreadable(response)

    def numbers(self) -> list[OwnedNumber]:
        """Return the numbers of the account. A row without a number is left out."""
        response = self._send("GET", NUMBERS)
        rows: Any = answers.value(response)
        for _ in range(2):
            if isinstance(rows, dict):
                rows = next((rows[name] for name in _LISTS if rows.get(name) is not None), None)
        if not isinstance(rows, list):
            raise answers.unreadable(response)
        read = (_number(row) for row in rows if isinstance(row, dict))
        return [number for number in read if number is not None]

    def set_routing(self, number_id: str, *, voice_url: str, events_url: str) -> None:
        """Have a number lead to these addresses, by PATCH, or PUT where that is not known."""
        if not number_id.strip(". ") or len(number_id) > 256:
            raise Rejected("this is no number's id", code="bad_handle")
        path = f"{NUMBERS}/{quote(number_id, safe='')}/routing"
        body = json.dumps({"voice_callback_url": voice_url, "events_url": events_url}).encode()
        headers = {"Content-Type": "application/json"}
        try:
            self._send("PATCH", path, data=body, headers=headers)
        except Rejected as error:
            if error.status != 405:
                raise
            self._send("PUT", path, data=body, headers=headers)


def _number(row: dict[str, Any]) -> OwnedNumber | None:
    layers = bodies.layers(row)
    number = pick(layers, ("e164", "number", "phone_number"))
    if not number:
        return None
    return OwnedNumber(
        id=pick(layers, ("id", "number_id")),
        e164=party(number),
        status=pick(layers, ("status",), 32).lower(),
        voice_url=pick(layers, _VOICE, 2048) if bodies.has(layers, _VOICE) else None,
        events_url=pick(layers, ("events_url",), 2048)
        if bodies.has(layers, ("events_url",))
        else None,
    )
