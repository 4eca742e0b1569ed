#!/usr/bin/env python3
"""Django's management commands, in `.venv` and on whatever database is meant.

`DATABASE_URL` and `REDIS_URL` come from the environment or `.env`; without them, from the
embedded servers of a running `make run` or `make demo`.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
# These need no server, so they work before anything was started.
SERVERLESS = {
    "check", "collectstatic", "compilemessages", "findstatic", "help", "makemessages",
    "makemigrations", "spectacular", "startapp", "version", "--help", "--version", "-h",
}  # fmt: skip


def main() -> None:
    """Run the command line."""
    enter_environment()
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    settle_servers(command)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def enter_environment() -> None:
    """Go on under the Python of `.venv`, unless this is it or one that has Django anyway."""
    python = ROOT / ".venv" / "bin" / "python"
    if Path(sys.prefix).resolve() == (ROOT / ".venv").resolve():
        return
    if python.exists():
        os.execv(python, [str(python), *sys.argv])  # noqa: S606  # our own interpreter
    sys.exit("There is no .venv yet: run `make demo` or `make run` first; they make it.")


def settle_servers(command: str) -> None:
    """Fill in the settings that were left to the embedded servers."""
    from callcenter.launch import dotenv
    from callcenter.launch.place import running_environment

    given = dotenv.effective()
    if all(dotenv.get(given, name) for name in ("DATABASE_URL", "REDIS_URL")):
        return
    running = running_environment("run") or running_environment("demo")
    if not running and command not in SERVERLESS:
        sys.exit(
            f"`{command}` needs the database, and none is running: start `make demo` or "
            "`make run` and leave it running, or set DATABASE_URL and REDIS_URL in .env."
        )
    for name, text in (running or dotenv.PLACEHOLDERS).items():
        if running or not dotenv.get(given, name):
            os.environ.setdefault(name, text)


if __name__ == "__main__":
    main()
