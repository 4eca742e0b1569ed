#!/usr/bin/env python3
"""Start, stop and test the call centre: `python3 up.py demo`, `run`, `test` … (`help` lists all).

It needs Python 3.11 or newer with its venv module, and nothing installed.
"""

import signal
import sys
import types
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  # this is where an older one is told so
    version = ".".join(str(part) for part in sys.version_info[:3])
    sys.exit("The call centre needs Python 3.11 or newer, and this is " + version + ".")

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while importing: just go
    # callcenter/__init__.py loads Celery, which is not installed yet at the first start and
    # would cost the supervisor 14 MB at every other: this package has the same modules without.
    package = types.ModuleType("callcenter")
    package.__path__ = [str(Path(__file__).resolve().parent / "callcenter")]
    sys.modules["callcenter"] = package

from callcenter.launch.commands import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
