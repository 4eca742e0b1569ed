"""`python -m simulator`: the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from simulator.config import Config, ConfigError
from simulator.phones import BehaviourError
from simulator.server import serve


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simulator", description="A local stand-in for Sautikit.")
    parser.add_argument("--config", type=Path, help="a JSON file; options below beat it")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, help="0 picks a free one")
    parser.add_argument("--api-key", dest="api_key")
    parser.add_argument("--speed", type=float, help="phone time per real time")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--wallet-minor", dest="wallet_minor", type=int)
    parser.add_argument("--keep-finished", dest="keep_finished", type=int, help="0 keeps all")
    parser.add_argument("--signing-secret", dest="signing_secrets", action="append")
    parser.add_argument("--number", action="append", help="an E.164 number of the workspace")
    parser.add_argument("--voice-url", default="", help="voice_callback_url of every --number")
    parser.add_argument("--events-url", default="", help="events_url of every --number")
    return parser


def configuration(options: argparse.Namespace) -> Config:
    """The file's settings, with what was given on the command line over them."""
    config = Config.from_file(options.config) if options.config else Config()
    given = {
        name: getattr(options, name)
        for name in (
            "host",
            "port",
            "api_key",
            "speed",
            "seed",
            "wallet_minor",
            "keep_finished",
            "signing_secrets",
        )
        if getattr(options, name) is not None
    }
    if options.number:
        urls = {"voice_callback_url": options.voice_url, "events_url": options.events_url}
        given["numbers"] = [{"e164": number, **urls} for number in options.number]
    config.change(given)
    return config


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    try:
        config = configuration(arguments().parse_args())
        asyncio.run(serve(config, say))
    except (ConfigError, BehaviourError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
