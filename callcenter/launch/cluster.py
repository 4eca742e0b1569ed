"""A PostgreSQL data directory, looked at before anybody serves it: whose it is, and whether whole.

Standard library only. Each thing that is wrong is one sentence, and nothing is changed.
"""

import os
import pwd
import subprocess
import sys
from pathlib import Path

from callcenter.launch.processes import CannotStart, started_at

_PARTS = ("global/pg_control", "pg_wal", "base", "postgresql.conf")


def check_owner(data_dir: Path) -> None:
    if not data_dir.exists():
        return
    owner = data_dir.stat().st_uid
    if owner == os.geteuid() or (os.geteuid() == 0 and owner == nobody().pw_uid):
        return
    raise CannotStart(
        f"{data_dir} belongs to the user {user_name(owner)}: start as that user, move it away, "
        "or set DATABASE_URL. Nothing was changed."
    )


def nobody() -> pwd.struct_passwd:
    """Return the user `nobody`, as whom root may run PostgreSQL."""
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise CannotStart(
            "PostgreSQL does not run as root, and there is no user `nobody` here: start as an "
            "ordinary user, or set DATABASE_URL to a PostgreSQL server."
        ) from None


def is_cluster(data_dir: Path) -> bool:
    if (data_dir / "PG_VERSION").is_file():
        return True
    if data_dir.exists() and any(data_dir.iterdir()):
        raise CannotStart(
            f"{data_dir} is no PostgreSQL data directory (it has no PG_VERSION): move it away. "
            "Nothing was changed."
        )
    return False


def check_whole(data_dir: Path) -> None:
    """Refuse a directory that lost a part: a copy that was cut off, a disk that had errors."""
    missing = [part for part in _PARTS if not (data_dir / part).exists()]
    empty = [
        part for part in ("PG_VERSION", "global/pg_control")
        if part not in missing and (data_dir / part).stat().st_size == 0
    ]  # fmt: skip
    if missing or empty:
        raise CannotStart(
            f"{data_dir} is damaged ({(missing or empty)[0]} is {'missing' if missing else 'empty'}"
            "): put a backup in its place with `python3 up.py restore --replace FILE`. "
            "Nothing was changed."
        )
    if data_dir.stat().st_mode & 0o027:
        raise CannotStart(
            f"{data_dir} is open to others, which PostgreSQL refuses: `chmod 700 {data_dir}`."
        )


def check_version(data_dir: Path, bin_dir: Path) -> None:
    made_by = (data_dir / "PG_VERSION").read_text().strip()
    ours = subprocess.run(  # noqa: S603 - our own program
        [bin_dir / "postgres", "-V"], capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    if made_by != ours.split(".")[0]:
        raise CannotStart(
            f"{data_dir} was made by PostgreSQL {made_by}, and installed is {ours}: make a backup "
            "with the version of the call centre that made it (`python3 up.py backup`), and put "
            "that in its place here (`python3 up.py restore --replace FILE`). Nothing was changed."
        )


def server_of(data_dir: Path) -> int:
    """Return the process that serves `data_dir`; 0 when none does."""
    try:
        words = (data_dir / "postmaster.pid").read_text().split()
    except OSError:
        return 0
    pid = int(words[0]) if words and words[0].isdigit() else 0
    return pid if serves(pid, data_dir) else 0


def serves(pid: int, data_dir: Path) -> bool:
    if not pid:
        return False
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True
    if not started_at(pid):
        return False
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data_dir)
    except OSError:
        return False


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
