"""The file between preview and import: it waits in the page's own form, nowhere on our disks."""

from __future__ import annotations

import base64
from typing import Any

from django.core import signing
from import_export.tmp_storages import BaseStorage

_SALT, _GOOD_FOR = "callcenter.sheets", 60 * 60  # seconds


class InThePage(BaseStorage):  # type: ignore[misc]  # no types shipped
    """Its `name` is the file itself, packed and signed; a changed or old one cannot be read."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def save(self, data: bytes) -> None:
        self.name = signing.dumps(base64.b85encode(data).decode(), salt=_SALT, compress=True)

    def read(self) -> bytes:
        """Return the file. Raises signing.BadSignature."""
        return base64.b85decode(signing.loads(self.name, salt=_SALT, max_age=_GOOD_FOR))

    def remove(self) -> None:
        """Nothing is kept."""
