"""Known vulnerabilities of what is installed: pip-audit over the pinned requirements.

The advisories come from osv.dev. Where that cannot be reached nothing is known: that is said, and
is an error only if asked for. What is accepted, why and until when, stands in audit-ignore.txt.
Standard library only, as everything that `up.py` runs.
"""

import datetime
import json
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

from callcenter.launch import ROOT, VENV
from callcenter.launch.console import say
from callcenter.launch.processes import CannotStart

REQUIREMENTS = ROOT / "requirements.txt"
IGNORED = ROOT / "audit-ignore.txt"
OSV = "https://api.osv.dev/v1/query"
PATIENCE = 60  # seconds for all of it
_LINE = re.compile(r"(?P<id>[A-Z]+-[\w-]+)\s+until\s+(?P<until>\d{4}-\d\d-\d\d)\s+(?P<reason>\S.*)")


def audit(
    *,
    strict: bool,
    requirements: Path = REQUIREMENTS,
    accepted_in: Path = IGNORED,
    service: str = OSV,
    patience: float = PATIENCE,
) -> int:
    """Say what is known against the requirements; return 1 if there is anything, else 0.

    `strict`: also 1 where the advisories could not be had.
    """
    today = datetime.datetime.now(tz=datetime.UTC).date()
    accepted = ignored(accepted_in.read_text(encoding="utf8"), today)
    found = _ask(requirements, accepted, service, patience)
    if found is None:
        say(
            "The advisories at osv.dev could not be read, so nothing is known about the "
            "vulnerabilities of what is installed."
        )
        return 1 if strict else 0
    for name, version, advisory, fixed in found:
        say(f"{name} {version} has {advisory}: {f'fixed in {fixed}' if fixed else 'no fix yet'}.")
    if not found:
        also = f" ({len(accepted)} accepted in {accepted_in.name})" if accepted else ""
        say(f"No known vulnerability in {requirements.name}{also}.")
    return 1 if found else 0


def ignored(text: str, today: datetime.date) -> list[str]:
    """Return the advisories that are accepted today; raise CannotStart for a line without sense."""
    accepted = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        try:
            until = datetime.date.fromisoformat(match["until"]) if match else None
        except ValueError:
            until = None
        if match is None or until is None:
            raise CannotStart(
                f"{IGNORED.name} has a line that says not which advisory is accepted until when "
                f"and why: {line.strip()!r}. For example: GHSA-aaaa-bbbb-cccc until 2027-01-31 "
                "we never open files with it"
            )
        if today <= until:
            accepted.append(match["id"])
    return accepted


def _ask(
    requirements: Path, accepted: list[str], service: str, patience: float
) -> list[tuple[str, str, str, str]] | None:
    """Return (package, version, advisory, versions that fix it); None without an answer."""
    with tempfile.TemporaryDirectory() as directory:
        answer = Path(directory) / "answer.json"
        command: list[str | Path] = [
            VENV / "bin" / "pip-audit", "--requirement", requirements, "--require-hashes",
            "--disable-pip", "--vulnerability-service", "osv", "--osv-url", service,
            "--timeout", "10", "--progress-spinner", "off", "--format", "json", "--output", answer,
        ]  # fmt: skip
        for each in accepted:
            command += ["--ignore-vuln", each]
        process = subprocess.Popen(  # noqa: S603  # our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        try:
            packages = json.loads(answer.read_text())["dependencies"]
        except (OSError, ValueError, KeyError):
            return None
    if not packages or any("skip_reason" in package for package in packages):
        return None
    return [
        (package["name"], package["version"], each["id"], ", ".join(each["fix_versions"]))
        for package in packages
        for each in package["vulns"]
    ]
