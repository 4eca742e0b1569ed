"""The file that a backup is: a tar of parts, a manifest, and the checksums of all of them.

Any `tar` opens it, and `sha256sum -c SHA256SUMS` tells whether it is whole. SHA256SUMS comes last,
so a file that was cut off is known by its absence.
"""

import contextlib
import hashlib
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from callcenter.launch.processes import CannotStart

FORMAT = 1
DUMP = "database.dump"
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
_CHUNK = 1 << 20


class BadBackup(CannotStart):
    """The file is no backup that can be restored; nothing was changed."""


class Writer:
    """Writes a backup under a temporary name; it gets its own name once it is whole."""

    def __init__(self, path: Path) -> None:
        """Begin; only we may read the file. Raises CannotStart where `path` is taken."""
        if path.exists():
            raise CannotStart(f"There is a file {path} already: name another one.")
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "w+b")
        self._sums: dict[str, str] = {}

    def add(self, name: str, content: bytes) -> None:
        """Add a small part."""
        parts = iter([content, b""])
        self.stream(name, lambda _: next(parts))

    def stream(self, name: str, read: Callable[[int], bytes]) -> int:
        """Add a part of unknown length, until `read` returns nothing; return its length."""
        start = self._file.tell()
        self._file.write(bytes(tarfile.BLOCKSIZE))  # for the header, which has the length
        digest, length = hashlib.sha256(), 0
        while block := read(_CHUNK):
            self._file.write(block)
            digest.update(block)
            length += len(block)
        self._file.write(bytes(-length % tarfile.BLOCKSIZE))
        end = self._file.tell()
        header = tarfile.TarInfo(name)
        header.size, header.mode, header.mtime = length, 0o600, int(time.time())
        self._file.seek(start)
        self._file.write(header.tobuf(tarfile.GNU_FORMAT))
        self._file.seek(end)
        self._sums[name] = digest.hexdigest()
        return length

    def finish(self, manifest: dict[str, Any]) -> None:
        """Add manifest and checksums, read everything back, and give the file its name."""
        self.add(MANIFEST, json.dumps({"format": FORMAT, **manifest}, indent=2).encode())
        sums = "".join(f"{digest}  {name}\n" for name, digest in self._sums.items())
        self.add(SUMS, sums.encode())
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        Backup.read(self._partial)
        self._partial.rename(self._path)
        sync(self._path.parent)

    def give_up(self) -> None:
        """Leave no half file behind; after `finish` it does nothing."""
        with contextlib.suppress(OSError):  # closing writes what is left, and the disk may be full
            self._file.close()
        self._partial.unlink(missing_ok=True)


class Backup:
    """A backup that is whole: every part has the checksum that it was written with."""

    def __init__(self, path: Path, manifest: dict[str, Any], parts: frozenset[str]) -> None:
        self.path, self.manifest, self.parts = path, manifest, parts

    @classmethod
    def read(cls, path: Path) -> "Backup":
        """Check the file from end to end; raise BadBackup with what is wrong with it."""
        found: dict[str, str] = {}
        texts: dict[str, bytes] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    part = tar.extractfile(member)
                    if part is None or member.name in found:
                        raise BadBackup(f"{path} is no backup of the call centre.")
                    if member.name in {MANIFEST, SUMS}:
                        texts[member.name] = part.read()
                        part.seek(0)
                    found[member.name] = _digest(part)
        except FileNotFoundError:
            raise BadBackup(f"There is no file {path}.") from None
        except (tarfile.TarError, EOFError, OSError) as error:
            if DUMP in found or _begins_like_one(path):
                raise BadBackup(_damaged(path)) from None
            if isinstance(error, OSError) and error.errno and not path.is_file():
                raise BadBackup(f"{path} cannot be read ({error.strerror}).") from None
            raise BadBackup(f"{path} is no backup of the call centre.") from None
        if DUMP not in found:
            raise BadBackup(f"{path} is no backup of the call centre.")
        own = {name: digest for name, digest in found.items() if name != SUMS}
        if not own.keys() >= {MANIFEST} or _sums(texts.get(SUMS, b"")) != own:
            raise BadBackup(_damaged(path))
        return cls(path, _manifest(path, texts[MANIFEST]), frozenset(own))

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[IO[bytes]]:
        """Open one part for reading."""
        with tarfile.open(self.path, "r:") as tar:
            file = tar.extractfile(name)
            assert file is not None  # noqa: S101 - every part was read once
            yield file

    def text(self, name: str) -> bytes:
        """Return a small part."""
        with self.part(name) as file:
            return file.read()


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_CHUNK):
        digest.update(block)
    return digest.hexdigest()


def _sums(text: bytes) -> dict[str, str]:
    lines = [line.split("  ", 1) for line in text.decode(errors="replace").splitlines()]
    return {line[1]: line[0] for line in lines if len(line) == 2}


def _manifest(path: Path, text: bytes) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(text)
    if manifest.get("format", 0) > FORMAT:
        raise BadBackup(
            f"{path} was made by a newer version of the call centre "
            f"({manifest.get('version', 'unknown')}): restore it with that version."
        )
    return manifest


def _begins_like_one(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(100).rstrip(b"\0") == DUMP.encode()
    except OSError:
        return False


def _damaged(path: Path) -> str:
    return f"{path} is damaged or cut off (its checksums do not fit): use another backup."


def sync(directory: Path) -> None:
    """Have the names in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
