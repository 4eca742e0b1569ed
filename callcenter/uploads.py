"""Files are taken at the import pages of the admin, one at a time and small; nowhere else."""

from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.core.files.uploadhandler import MemoryFileUploadHandler

MOST_BYTES = 2 * 1024 * 1024  # of the whole request; the form refuses less, in words
_TAKES_FILES = re.compile(r"/admin/(agents/agent|queues/contact)/import/")


class OnlyImports(MemoryFileUploadHandler):
    """Keeps a file in memory; refuses one before it is read wherever none is asked for."""

    def handle_raw_input(
        self, input_data: Any, META: dict[str, Any], content_length: int, *args: Any
    ) -> None:
        if content_length > MOST_BYTES:
            raise RequestDataTooBig("This request is larger than any of ours.")
        self.activated = True

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        path = self.request.path if self.request else ""
        if not _TAKES_FILES.fullmatch(path):
            raise TooManyFilesSent("No file is taken here.")
        super().new_file(*args, **kwargs)
