"""A database through PostgreSQL's own programs: its facts, a dump of one instant, a restore."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from callcenter import embedded
from callcenter.launch.processes import CannotStart

OLDEST = 17  # pg_restore sends a setting that older servers do not know

# One instant of the database, for the facts and for the dump alike.
_FACTS = r"""
SET idle_in_transaction_session_timeout = 0;
SET lock_timeout = '10s';
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT 'snapshot', '', pg_export_snapshot();
SELECT 'server', '', current_setting('server_version_num');
SELECT 'bytes', '', pg_database_size(current_database());
SELECT format('SELECT ''rows'', %L, count(*) FROM %I.%I',
        format('%I.%I', schemaname, tablename), schemaname, tablename)
    FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY 1 \gexec
SELECT 'sequence', format('%I.%I', schemaname, sequencename), coalesce(last_value, 0)
    FROM pg_sequences ORDER BY 2;
SELECT 'SELECT ''migration'', app || ''.'' || name, 0 FROM django_migrations ORDER BY id'
    WHERE to_regclass('django_migrations') IS NOT NULL \gexec
\echo end
"""


@dataclass
class Facts:
    """What a database held at one instant."""

    snapshot: str = ""
    server: int = 0  # version, like 180006
    bytes: int = 0
    rows: dict[str, int] = field(default_factory=dict)  # per table
    sequences: dict[str, int] = field(default_factory=dict)
    migrations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Database:
    """A database by its URL; the password never stands in a command line."""

    url: str

    @contextlib.contextmanager
    def instant(self) -> Iterator[Facts]:
        """Hold the database at one instant, and tell what it holds then."""
        with tempfile.TemporaryFile() as errors:
            psql = self._start(
                "psql", "-XwAtq", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d",
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
            assert psql.stdin  # noqa: S101 - a pipe, as asked for
            assert psql.stdout  # noqa: S101
            try:
                with contextlib.suppress(BrokenPipeError):
                    psql.stdin.write(_FACTS.encode())
                    psql.stdin.flush()
                facts = _facts(psql.stdout)
                if facts is None:
                    psql.wait()
                    raise CannotStart(_why("The database cannot be read", errors))
                yield facts
            finally:
                with contextlib.suppress(BrokenPipeError):
                    psql.stdin.close()
                psql.kill()
                psql.wait()
                psql.stdout.close()

    @contextlib.contextmanager
    def dump(self, facts: Facts) -> Iterator[IO[bytes]]:
        """Dump the instant of `facts`; raises CannotStart at the end where that failed."""
        with tempfile.TemporaryFile() as errors:
            program = self._start(
                "pg_dump", "-Fc", "--no-owner", "--no-privileges",
                f"--snapshot={facts.snapshot}", "-d",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
            assert program.stdout  # noqa: S101 - a pipe, as asked for
            try:
                yield program.stdout
                if program.wait():
                    raise CannotStart(_why("The database cannot be dumped", errors))
            finally:
                program.kill()
                program.wait()
                program.stdout.close()

    def fill(self, dump: IO[bytes]) -> None:
        """Load a dump into this empty database, whole or not at all."""
        with tempfile.TemporaryFile() as errors:
            program = self._start(
                "pg_restore", "--single-transaction", "--no-owner", "--no-privileges", "-d",
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors,
            )  # fmt: skip
            assert program.stdin  # noqa: S101 - a pipe, as asked for
            try:
                with contextlib.suppress(BrokenPipeError):
                    while block := dump.read(1 << 20):
                        program.stdin.write(block)
                    program.stdin.close()
                if program.wait():
                    raise CannotStart(_why("The dump cannot be loaded", errors))
            finally:
                with contextlib.suppress(BrokenPipeError):
                    program.stdin.close()
                program.kill()
                program.wait()

    def _start(
        self, name: str, *arguments: str, **pipes: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        url, password = _without_password(self.url)
        environment = {**embedded.clean_environment(), "PGCONNECT_TIMEOUT": "10"}
        if password:
            environment["PGPASSWORD"] = password
        program = embedded.postgres_program(name)
        return subprocess.Popen([program, *arguments, url], env=environment, **pipes)  # type: ignore[call-overload,no-any-return]  # noqa: S603


def _without_password(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise CannotStart(
            "DATABASE_URL names no PostgreSQL server (postgres://…): back it up with its own tools."
        )
    login, at, host = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}")), unquote(password)


def _facts(lines: IO[bytes]) -> Facts | None:
    facts = Facts()
    for line in lines:
        text = line.decode().rstrip("\n")
        if text == "end":
            return facts
        kind, name, value = text.split("\t")
        if kind == "snapshot":
            facts.snapshot = value
        elif kind == "server":
            facts.server = int(value)
        elif kind == "bytes":
            facts.bytes = int(value)
        elif kind == "rows":
            facts.rows[name] = int(value)
        elif kind == "sequence":
            facts.sequences[name] = int(value)
        elif kind == "migration":
            facts.migrations.append(name)
    return None


def _why(what: str, errors: IO[bytes]) -> str:
    errors.seek(0)
    text = errors.read().decode(errors="replace").strip()
    if "server version mismatch" in text:
        return f"{what}: the server is newer than the programs that came with us. {text}"
    if "No space left on device" in text or "could not extend file" in text:
        return f"{what}: the disk is full. Free some space.\n{text[-400:]}"
    return f"{what}:\n{text[-800:]}"


def restorable(server: int) -> bool:
    """Whether a server of this version takes what our pg_restore sends."""
    return server // 10_000 >= OLDEST


def program_version() -> int:
    """The major version of the programs that came with us."""
    done = subprocess.run(  # noqa: S603 - our own program
        [embedded.postgres_program("pg_restore"), "-V"], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1].split(".")[0])
