"""Settings before Django: the file `.env`, and what `make run` requires of them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from callcenter.launch import ROOT
from callcenter.launch.processes import CannotStart

_LINE = re.compile(r"(?:export )?([A-Za-z_0-9]+)=(.*)")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_RANDOM = '`python3 -c "import secrets; print(secrets.token_urlsafe({}))"`'

PLACEHOLDERS = {
    "SECRET_KEY": "placeholder-of-commands-that-sign-nothing-and-serve-nobody",
    "DATABASE_URL": "postgres://app@/callcenter?host=/nonexistent",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "PUBLIC_BASE_URL": "http://127.0.0.1:8000",
    "SAUTIKIT_API_KEY": "placeholder",
    "SAUTIKIT_NUMBER": "+254200000100",
    "SAUTIKIT_WEBHOOK_TOKEN": "placeholder-token",
}


def read(path: Path = ROOT / ".env") -> dict[str, str]:
    """Return the settings of a `.env` file, by the rules of django-environ; {} without one."""
    try:
        text = path.read_text(encoding="utf8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise CannotStart(f"{path} is not UTF-8 text: save it as such.") from None
    except OSError as error:
        raise CannotStart(f"{path} cannot be read: {error.strerror}.") from None
    values = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            name, value = match.groups()
            if len(value) > 1 and value[0] == value[-1] == "'":
                value = value[1:-1]
            elif len(value) > 1 and value[0] == value[-1] == '"':
                value = re.sub(r"\\([^rnt])", r"\1", value[1:-1])
            values[name] = value
    return values


def effective() -> dict[str, str]:
    """Return the environment, filled up from `.env` (the environment wins)."""
    return {**({} if os.environ.get("DOTENV") == "off" else read()), **os.environ}


def get(settings: Mapping[str, str], name: str) -> str:
    """Return a setting, from the file that `<NAME>_FILE` names if there is one; or ""."""
    if file := settings.get(f"{name}_FILE"):
        try:
            return Path(file).read_text(encoding="utf8").strip()
        except (OSError, UnicodeDecodeError):
            raise CannotStart(f"{name}_FILE names {file}, which cannot be read.") from None
    return settings.get(name, "").strip()


def number(settings: Mapping[str, str], name: str, default: int, *, most: int) -> int:
    """Return a setting that is a whole number from 1 to `most`."""
    text = settings.get(name, "").strip() or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise CannotStart(f"{name} is {text!r}: set it to a whole number from 1 to {most}.")
    return int(text)


def problems(settings: Mapping[str, str]) -> list[str]:
    """Return a sentence for each setting of `make run` that is missing or unsafe."""
    checks = {
        "SECRET_KEY": _secret_key,
        "PUBLIC_BASE_URL": _public_base_url,
        "SAUTIKIT_API_KEY": _api_key,
        "SAUTIKIT_NUMBER": _number,
        "SAUTIKIT_WEBHOOK_TOKEN": _webhook_token,
    }
    found = ((name, check(get(settings, name))) for name, check in checks.items())
    return [f"{name} {sentence}" for name, sentence in found if sentence]


def _secret_key(value: str) -> str:
    make_one = f"set it to the output of {_RANDOM.format(50)}."
    if not value:
        return f"is not set: {make_one}"
    if len(value) < 40 or len(set(value)) < 10:
        return f"can be guessed (it has {len(value)} characters, 40 are the least): {make_one}"
    if value.startswith("django-insecure-") or value == PLACEHOLDERS["SECRET_KEY"]:
        return f"is one that everybody knows: {make_one}"
    return ""


def _public_base_url(value: str) -> str:
    example = "set it to the address at which Sautikit reaches you, like https://calls.your.domain"
    if not value:
        return f"is not set: {example}."
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        return f"is no address ({value}): {example}."
    if url.scheme not in {"http", "https"} or not host or url.username or url.query or url.fragment:
        return f"is no address of a site ({value}): {example}."
    if url.path.rstrip("/"):
        return f"has a path ({url.path}), and the site lives at the root of its host: {example}."
    if url.scheme == "http" and host not in _LOOPBACK:
        return (
            "is plain http off this machine, so passwords and webhook tokens could be read on "
            f"the way: {example}."
        )
    return ""


def _api_key(value: str) -> str:
    return "" if value else "is not set: copy it from your Sautikit account's API keys."


def _number(value: str) -> str:
    example = "set it to your Sautikit number in full, like +254200000100."
    if not value:
        return f"is not set: {example}"
    return "" if re.fullmatch(r"\+[1-9]\d{6,14}", value) else f"is no number ({value}): {example}"


def _webhook_token(value: str) -> str:
    make_one = (
        f"set it to the output of {_RANDOM.format(24)} and put it into the webhook URLs that "
        "Sautikit has."
    )
    tokens = [token.strip() for token in value.split(",") if token.strip()]
    if not tokens:
        return f"is not set: {make_one}"
    if any(len(token) < 16 for token in tokens):
        return f"can be guessed (16 characters are the least): {make_one}"
    if not all(re.fullmatch(r"[A-Za-z0-9_.-]+", token) for token in tokens):
        return f"has a character that a URL would change (A-Z a-z 0-9 _ . - are fine): {make_one}"
    return ""
