"""One rendering for many viewers: a live fragment is made once and handed to all who ask for it.

Only where several people look at the same time; a single viewer always gets a fresh one. Whoever
was told that the board is stale gets a rendering from after that, or an old one and the word to
ask again.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from callcenter import live

GOOD_FOR = 1.0  # seconds for which a rendering serves where nothing has happened
AT_MOST_TWO_IN = 2.0  # seconds; the second one lets news through that follow at once


@dataclass(frozen=True)
class Rendering:
    """A fragment, the board's version that it shows at least, and when it was made."""

    html: str
    version: int
    made: float  # by the process's own clock, as is the next
    before: float  # when the one before it was made


_latest: dict[Hashable, Rendering] = {}
_making: defaultdict[Hashable, threading.Lock] = defaultdict(threading.Lock)


def fragment(key: Hashable, render: Callable[[], str]) -> tuple[str, bool]:
    """Return the fragment of `key`, and whether there is news that it does not show yet.

    `key` names everything that the fragment depends on besides the state of the centre, such as
    language and time zone; nothing in it may be of one user.
    """
    version = live.board_version() if live.viewers(live.BOARD) > 1 else None
    if version is None:
        return render(), False
    with _making[key]:
        latest, now = _latest.get(key), time.monotonic()
        if latest:
            is_current = latest.version >= version
            if is_current and now - latest.made < GOOD_FOR:
                return latest.html, False
            if now - latest.before < AT_MOST_TWO_IN:
                return latest.html, not is_current
        html = render()
        _latest[key] = Rendering(html, version, now, latest.made if latest else 0.0)
        return html, False


def forget(key: Hashable) -> None:
    """Render anew for the next who asks: somebody's own action must not seem undone to them."""
    _latest.pop(key, None)
