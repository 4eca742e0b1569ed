"""A file, or the one part of it that a player asks for (RFC 9110, section 14).

Sent in pieces by an asynchronous handler, so that a listener who pauses holds no thread.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

PIECE = 64 * 1024
_ONE_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


class NotSatisfiable(ValueError):
    """A part that begins after the end of the file."""


def part(said: str, size: int) -> tuple[int, int] | None:
    """Return first byte and the one after the last that a Range header asks for.

    None for all of the file: no header, several parts, or what is no range. Raises
    NotSatisfiable.
    """
    found = _ONE_RANGE.fullmatch(said.strip().lower())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # the last so many bytes
        if not int(found[2]) or not size:
            raise NotSatisfiable
        return max(size - int(found[2]), 0), size
    first = int(found[1])
    end = min(int(found[2]) + 1, size) if found[2] else size
    if found[2] and int(found[2]) < first:
        return None
    if first >= size:
        raise NotSatisfiable
    return first, end


def answer(request: HttpRequest, path: Path, *, content_type: str, etag: str) -> HttpResponseBase:
    """Answer GET or HEAD with a file or a part of it; `etag` is in quotation marks."""
    size = path.stat().st_size
    said = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag:
        said = ""
    headers = {"Accept-Ranges": "bytes", "ETag": etag}
    try:
        asked = part(said, size)
    except NotSatisfiable:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    first, end = asked or (0, size)
    headers["Content-Length"] = str(end - first)
    if asked:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    status = 206 if asked else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, content_type=content_type, headers=headers)
    pieces = _pieces if isinstance(request, ASGIRequest) else _pieces_at_once
    body = pieces(path, first, end - first)
    return StreamingHttpResponse(body, status=status, content_type=content_type, headers=headers)


async def _pieces(path: Path, first: int, left: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while left and (piece := await asyncio.to_thread(file.read, min(PIECE, left))):
            left -= len(piece)
            yield piece


def _pieces_at_once(path: Path, first: int, left: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while left and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece
