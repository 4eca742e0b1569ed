"""`up.py backup` and `up.py restore`: everything that a centre knows, in one file and back.

A backup is made while the centre runs, or while it does not. A restore builds the data beside the
present ones, checks them against the backup, brings them up to date, and only then swaps the two;
what was there before is set aside, never removed.
"""

import contextlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callcenter import embedded
from callcenter.launch import ROOT, VAR, dotenv
from callcenter.launch.archive import DUMP, Backup, BadBackup, Writer, sync
from callcenter.launch.cluster import server_of
from callcenter.launch.console import say, shown, step
from callcenter.launch.database import Database, Facts, program_version, restorable
from callcenter.launch.environment import need_space
from callcenter.launch.place import KEPT_SECRETS, Place, running_environment
from callcenter.launch.processes import CannotStart, Child, open_private, run

_ENV = ROOT / ".env"
_SPARE = 50  # MB to be left on the disk
RESTORING, RESTORED = "postgres.restoring", "postgres.restored"


@dataclass(frozen=True)
class Centre:
    """What is backed up or restored: a mode's place, or the database that DATABASE_URL names."""

    place: Place
    settings: Mapping[str, str]

    @property
    def own_url(self) -> str:
        """The database of a server of one's own; empty where it is the embedded one."""
        return dotenv.get(self.settings, "DATABASE_URL") if self.place.mode == "run" else ""

    @property
    def env_file(self) -> Path | None:
        """The settings of this mode; the demo has none."""
        return _ENV if self.place.mode == "run" else None

    @contextlib.contextmanager
    def database(self) -> Iterator[Database]:
        """Reach the database: by its URL, where the centre runs it, or started for the while."""
        url = self.own_url or running_environment(self.place.mode).get("DATABASE_URL", "")
        if url:
            yield Database(url)
            return
        data_dir = self.place.directory / "postgres"
        if not (data_dir / "PG_VERSION").exists():
            raise CannotStart(f"There is nothing to back up: {shown(data_dir)} does not exist.")
        with self.place.claimed("making a backup"):
            server = embedded.start_postgres(data_dir, log=self.place.log("postgres"))
            try:
                yield Database(server.url)
            finally:
                server.stop()


# --- Backup ------------------------------------------------------------------------------------


def backup(centre: Centre, target: Path | None, *, keep: int | None = None) -> Path:
    """Write a backup to `target`, a file or a directory; return the file.

    With `keep`, only the newest so many backups of this mode stay in that directory.
    """
    path = _named(centre.place.mode, target)
    if keep is not None and _stamp_of(path, centre.place.mode) is None:
        raise CannotStart("--keep goes with a directory of backups, not with a file's name.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with centre.database() as database, database.instant() as facts:
        if not facts.migrations:
            raise CannotStart("The database has no call centre in it (no migrations).")
        need_space(path.parent, facts.bytes // 1_000_000 + _SPARE)
        writer = Writer(path)
        try:
            with step("database"), database.dump(facts) as dump:
                size = writer.stream(DUMP, dump.read)
            for name, file in _kept_files(centre).items():
                writer.add(name, file.read_bytes())
            with step("checking"):
                writer.finish(_manifest(centre, facts))
        finally:
            writer.give_up()
    say(
        f"\n  {shown(path)}: {size / 1e6:.1f} MB, {sum(facts.rows.values())} rows.\n"
        "  It holds phone numbers, password hashes and the settings with their secrets: keep it\n"
        "  where only you can read it, and a copy on another machine."
    )
    if keep is not None:
        _rotate(path.parent, centre.place.mode, keep)
    return path


def _named(mode: str, target: Path | None) -> Path:
    name = f"callcenter-{mode}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.backup"
    if target is None:
        return VAR / "backups" / name
    return target / name if target.is_dir() else target


def _stamp_of(path: Path, mode: str) -> str | None:
    match = re.fullmatch(rf"callcenter-{mode}-(\d{{8}}T\d{{6}}Z)\.backup", path.name)
    return match[1] if match else None


def _rotate(directory: Path, mode: str, keep: int) -> None:
    ours = [path for path in directory.iterdir() if _stamp_of(path, mode)]
    for old in sorted(ours, key=lambda path: path.name, reverse=True)[keep:]:
        old.unlink()
        say(f"  {shown(old)} was removed: {keep} are kept.")


def _kept_files(centre: Centre) -> dict[str, Path]:
    """What reading the data back needs beside the database, by its name in the backup."""
    files = {f"kept/{name}": centre.place.directory / name for name in KEPT_SECRETS}
    if centre.env_file:
        files["env"] = centre.env_file
    return {name: file for name, file in files.items() if file.is_file()}


def _manifest(centre: Centre, facts: Facts) -> dict[str, Any]:
    version = re.search(r'__version__ = "(.*)"', (ROOT / "callcenter/__init__.py").read_text())
    return {
        "version": version[1] if version else "",
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "mode": centre.place.mode,
        "is_embedded": not centre.own_url,
        "postgres": facts.server,
        "programs": program_version(),
        "bytes": facts.bytes,
        "rows": facts.rows,
        "sequences": facts.sequences,
        "migrations": facts.migrations,
    }


# --- Restore -----------------------------------------------------------------------------------


def restore(centre: Centre, path: Path, *, replace: bool = False) -> None:
    """Put a backup in the place of the present data; raises CannotStart and changes nothing else.

    `replace` allows that there are present data; they are set aside under a name with the time.
    """
    with step("checking"):
        found = Backup.read(path)
        _check_fits(found)
    if centre.own_url:
        _into_own_server(centre, found)
    else:
        with _stopped(centre):
            _into_embedded(centre, found, replace=replace)
    say(
        f"\n  Restored, as of {found.manifest['made_at']}. Start the centre: calls that were open\n"
        "  then are asked about at Sautikit and closed."
    )


def _check_fits(found: Backup) -> None:
    manifest = found.manifest
    if int(manifest["programs"]) > program_version():
        raise BadBackup(
            f"{found.path} was made with PostgreSQL {manifest['programs']}, and ours is "
            f"{program_version()}: restore it with the version that made it, or a newer one."
        )
    unknown = [name for name in manifest["migrations"] if not _is_known(name)]
    if unknown:
        raise BadBackup(
            f"{found.path} was made by a newer version of the call centre ({manifest['version']}; "
            f"{unknown[0]} is not known here): restore it with that version."
        )


def _is_known(migration: str) -> bool:
    """Whether one of our own migrations is here; those of libraries are for Django to judge."""
    app, _, name = migration.partition(".")
    directory = ROOT / app / "migrations"
    return not directory.is_dir() or (directory / f"{name}.py").is_file()


@contextlib.contextmanager
def _stopped(centre: Centre) -> Iterator[None]:
    """Hold the place of a centre that does not run."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(centre.place.claimed("restoring a backup"))
        except CannotStart as problem:
            raise CannotStart(f"A restore wants the centre stopped. {problem}") from None
        data_dir = centre.place.directory / "postgres"
        began = time.monotonic()
        while pid := server_of(data_dir):  # it ends after a kill -9 of its launcher
            if time.monotonic() - began > 20:
                raise CannotStart(
                    f"A PostgreSQL server (process {pid}) still runs on {shown(data_dir)}: "
                    f"stop it with `kill -INT {pid}`."
                )
            time.sleep(0.1)
        yield


def _into_embedded(centre: Centre, found: Backup, *, replace: bool) -> None:
    directory = centre.place.directory
    finish_swap(centre.place)
    data_dir, new = directory / "postgres", directory / RESTORING
    there_are_data = data_dir.exists() and any(data_dir.iterdir())
    if there_are_data and not replace:
        raise CannotStart(
            f"There are data in {shown(data_dir)}. `--replace` sets them aside, under a name with "
            "the time, and puts the backup in their place. Nothing was changed."
        )
    need_space(directory, 2 * int(found.manifest["bytes"]) // 1_000_000 + 150)
    for left in (new, directory / RESTORED):  # of a restore that was interrupted: never in use
        shutil.rmtree(left, ignore_errors=True)
    try:
        server = embedded.start_postgres(new, log=centre.place.log("restore"))
        try:
            _fill(centre, Database(server.url), found)
        finally:
            server.stop()
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(directory / f"{RESTORING}-socket", ignore_errors=True)
    new.rename(directory / RESTORED)  # whole from here on: a start would finish what follows
    sync(directory)
    _put_kept_files(centre, found)
    for old in (data_dir, directory / "valkey"):
        _set_aside(old)
    finish_swap(centre.place)


def finish_swap(place: Place) -> None:
    """Give restored data their place, if a restore was cut off just before it could."""
    restored, data_dir = place.directory / RESTORED, place.directory / "postgres"
    if restored.is_dir() and not data_dir.exists():
        restored.rename(data_dir)
        sync(place.directory)


def _into_own_server(centre: Centre, found: Backup) -> None:
    database = Database(centre.own_url)
    with database.instant() as facts:
        if not restorable(facts.server):
            raise CannotStart(
                f"The server is PostgreSQL {facts.server // 10_000}, and a restore by this command "
                f"wants 17 or newer. With that server's own tools: `tar xf {found.path} {DUMP}`, "
                "then `pg_restore` into an empty database."
            )
        if facts.rows:
            raise CannotStart(
                "The database that DATABASE_URL names is not empty, and on a server of your own "
                "nothing is replaced: make an empty database and let DATABASE_URL name it. "
                "Nothing was changed."
            )
    _fill(centre, database, found)
    _put_kept_files(centre, found)


def _fill(centre: Centre, database: Database, found: Backup) -> None:
    """Load the dump, compare with what the backup says it has, and migrate."""
    centre.place.make()
    with step("database"), found.part(DUMP) as dump:
        database.fill(dump)
    with step("comparing"), database.instant() as facts:
        _compare(found.manifest, facts)
    with step("migrations"):
        log = centre.place.log("restore")
        settings = {**os.environ, **dotenv.PLACEHOLDERS, "DOTENV": "off"}
        migrate = Child(
            "manage.py migrate",
            [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"],
            log,
            env={**settings, "DATABASE_URL": database.url},
            cwd=ROOT,
        )
        run(migrate)


def _compare(manifest: Mapping[str, Any], facts: Facts) -> None:
    """Raise BadBackup unless what was loaded is what was dumped.

    Sequences are no part of a snapshot: they may have gone on a little before they were dumped.
    """
    wrong = [name for name, count in manifest["rows"].items() if facts.rows.get(name) != count]
    wrong += [
        name for name, value in manifest["sequences"].items()
        if facts.sequences.get(name, -1) < value
    ]  # fmt: skip
    if wrong or facts.migrations != manifest["migrations"]:
        raise BadBackup(
            "What was loaded is not what was backed up "
            f"({', '.join(wrong[:5]) or 'migrations'}). Nothing was replaced."
        )


def _put_kept_files(centre: Centre, found: Backup) -> None:
    for name in KEPT_SECRETS:
        if f"kept/{name}" in found.parts:
            text, file = found.text(f"kept/{name}"), centre.place.directory / name
            if not file.exists() or file.read_bytes() != text:
                _set_aside(file)
                _write(file, text)
    if centre.env_file is None or "env" not in found.parts:
        return
    text = found.text("env")
    if not centre.env_file.exists() and found.manifest["is_embedded"] == (not centre.own_url):
        _write(centre.env_file, text)
        say(f"  {shown(centre.env_file)} was written from the backup.")
    elif not centre.env_file.exists() or centre.env_file.read_bytes() != text:
        say(
            "  The settings in .env are not those of the backup, and stay as they are. "
            f"To see its own: `tar xOf {found.path} env`."
        )


def _write(file: Path, text: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    with open_private(new) as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.rename(file)


def _set_aside(path: Path) -> None:
    """Rename what is in the way, so that it can be put back by hand."""
    if not path.exists():
        return
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.before-{stamp}")
    path.rename(aside)
    say(f"  {shown(path)} was set aside as {aside.name}.")
