"""`python -m bench [row ...]`: measure the rows of docs/performance.md, and print their table."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bench import (
    bells,
    centre,
    depth,
    endurance,
    load,
    perfect,
    profiling,
    raw,
    reports,
    rest,
    statements,
    viewers,
)
from bench.house import CannotStart, House, answers
from bench.measure import Row, table
from bench.recorder import Exchange, Recorder
from callcenter import embedded

ROWS = {
    "1": "voice webhooks at 10 calls/s",
    "2": "the highest rate of calls",
    "3": "agent free -> POST",
    "4": "SQL statements of a call",
    "5": "memory and processor at rest",
    "6": "a full house for a while",
    "7": "matching, as the line grows",
    "8": "waits against a perfect dispatcher",
    "9": "event -> browser, with 50 viewers of the wallboard",
    "10": "reports and the audit over a million calls; only where it is asked for",
}
LONG = {"10"}  # minutes to fill its database


def main() -> int:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    rows = ", ".join(f"{number} {name}" for number, name in ROWS.items())
    parser.add_argument("rows", nargs="*", metavar="row", help=f"all, or some of: {rows}")
    parser.add_argument("--seconds", type=float, default=10, help="measured in rows 1 and 5")
    parser.add_argument("--minutes", type=float, default=1, help="of row 6; 30 for the long one")
    parser.add_argument("--calls", type=int, default=1_000_000, help="of row 10")
    parser.add_argument("--timelines", type=int, default=365, help="days with timelines in row 10")
    parser.add_argument("--again", action="store_true", help="row 10 on the data of the last run")
    parser.add_argument("--verbose", action="store_true", help="list every statement of row 4")
    parser.add_argument("--profile", action="store_true", help="where a voice webhook's time goes")
    asked = parser.parse_args()
    unknown = set(asked.rows) - set(ROWS)
    if unknown:
        parser.error(f"there is no row {', '.join(sorted(unknown))}; rows are {rows}")
    if asked.again and asked.rows != ["10"]:
        parser.error("--again is for row 10 alone")
    all_rows: set[str] = set() if asked.profile else set(ROWS) - LONG
    wanted = set(asked.rows) or all_rows
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    try:
        with House() as house:
            bench = Bench(house, wanted, asked)
            bench.run()
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 130
    print(f"\n{_machine()}\n\n{table(bench.in_order())}")
    print(f"\n{time.monotonic() - began:.0f} s")
    for failure in bench.failed:
        print(f"could not be measured: {failure}", file=sys.stderr)
    return 1 if bench.failed else 0


class Bench:
    """One run: what is wanted, and what was found."""

    def __init__(self, house: House, wanted: set[str], asked: argparse.Namespace) -> None:
        self._house, self._wanted, self._asked = house, wanted, asked
        self.found: list[Row] = []
        self.failed: list[str] = []
        self._token = ""
        self._calls: list[statements.Played] = []

    def run(self) -> None:
        """Measure; a row that fails is told, and the others are measured all the same."""
        again = self._asked.again
        self._house.start_servers(fresh=not again)
        self._set_up_django()
        self._token = "" if again else centre.build()
        if self._asked.profile or self._wanted & {"1", "2", "4"}:
            self._record()
        if self._wanted & {"1", "2"}:
            self._prepare_raw()
        if self._wanted & {"1", "2", "3", "5", "6", "8", "9"}:
            self._house.start_programs()
            self._measure_the_stack()
            self._house.stop_programs()
        self._try("7", depth.row)  # late: its offers would be work for the worker
        self._try("10", self._row_10)

    def in_order(self) -> list[Row]:
        """Return what was found by the numbers of the rows."""
        return sorted(self.found, key=lambda row: int(row.name.split()[0]))

    def _try(self, number: str, measure: Any) -> None:
        if number not in self._wanted:
            return
        print(f"- {ROWS[number]}", flush=True)
        try:
            rows = measure()
        except (OSError, TimeoutError, CannotStart) as problem:
            self.failed.append(f"row {number}: {problem}")
            return
        self.found += rows if isinstance(rows, list) else [rows]

    # --- The programs running --------------------------------------------------------------------

    def _measure_the_stack(self) -> None:
        house, seconds = self._house, self._asked.seconds
        self._try("5", lambda: rest.row(house, seconds))  # before there is a simulator
        config = centre.simulator_config(house.url)
        house.start_simulator("simulator", house.simulator_url, config)
        self._try("3", lambda: bells.row(house, self._token))
        self._try("8", lambda: perfect.row(house, max(30.0, 3 * seconds)))
        if self._wanted & {"1", "2"}:
            callers = load.Callers(house)
            player = self._start_raw()
            self._try("1", lambda: self._row_1(callers, player))
            self._try("2", lambda: load.highest(callers, player))
            house.end(self._raw)
            callers.drain()
        self._try("6", lambda: endurance.row(house, self._asked.minutes))
        self._try("9", lambda: viewers.rows(house, seconds))
        for row in self.found:
            if row.name.startswith("5 at rest: memory") and self._wanted - {"5"}:
                row.notes.append(rest.memory_now(house))

    def _row_1(self, callers: load.Callers, player: raw.Player) -> list[Row]:
        began = time.time()
        rows = load.at_ten(callers, player, self._asked.seconds)
        rows[0].notes += [bells.under_load(self._house, began), bells.ends(self._house, began)]
        return rows

    def _row_10(self) -> list[Row]:
        calls = self._asked.calls
        made = ""
        if not self._asked.again:
            made = reports.fill(self._house, calls, self._asked.timelines)
        self._house.start_programs()
        found = reports.rows(self._house, calls, made)
        self._house.stop_programs()
        return [*found, reports.audit(self._house, calls)]

    def _prepare_raw(self) -> None:
        """Copy the database for the raw server, before anybody else is connected to it."""
        from django.db import connection

        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
        raw.make_database(self._house.database_url, self._house.raw_url)

    def _start_raw(self) -> raw.Player:
        house = self._house
        plans = raw.plans(self._calls)
        path = house.place.directory / "plans.pickle"
        raw.save(plans, path)
        house.environment.update(BENCH_PLANS=str(path), BENCH_RAW_URL=house.raw_url)
        port = embedded.free_port(8900)
        url = f"http://127.0.0.1:{port}"
        self._raw = house.start(
            "raw",
            "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "2", "--workers-kill-timeout", "3", "--no-ws", "--log-level", "warning",
            "bench.raw_app:application",
            ready=lambda: answers(f"{url}/ready"),
        )  # fmt: skip
        return raw.Player(url, plans)

    # --- The product in this process -------------------------------------------------------------

    def _set_up_django(self) -> None:
        """Make this process one of the product's, with addresses of its own."""
        self._port, simulator = embedded.free_port(8800), embedded.free_port(9800)
        self._simulator = f"http://127.0.0.1:{simulator}"
        own = {
            "PUBLIC_BASE_URL": f"http://127.0.0.1:{self._port}",
            "SAUTIKIT_API_BASE_URL": self._simulator,
            "DJANGO_SETTINGS_MODULE": "callcenter.settings",
        }
        os.environ.clear()
        os.environ.update({**self._house.environment, **own})
        import django

        django.setup()

    def _record(self) -> None:
        """Play single calls against a simulator of their own."""
        url = os.environ["PUBLIC_BASE_URL"]
        config = centre.simulator_config(url)
        child = self._house.start_simulator("simulator-of-single-calls", self._simulator, config)
        try:
            with Recorder(self._port) as recorder:
                self._try("4", lambda: self._statements(recorder))
                if not self._calls and self._wanted & {"1", "2"}:
                    self._calls = statements.play_all(recorder, self._simulator)
            if self._asked.profile:
                print("- profile", flush=True)
                print("\n" + profiling.report(self._play_both, self._port) + "\n")
        finally:
            self._house.end(child)

    def _statements(self, recorder: Recorder) -> list[Row]:
        self._calls = statements.play_all(recorder, self._simulator)
        if self._asked.verbose:
            print(statements.listing(self._calls))
        return statements.rows(self._calls)

    def _play_both(self, recorder: Recorder) -> list[Exchange]:
        return [one for call in statements.play_some(recorder, self._simulator) for one in call]


def _machine() -> str:
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0].partition(":")[2].strip() if names else ""
    return (
        f"{os.cpu_count()} cores ({model or platform.machine()}), {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d %H:%M')}"
    )


if __name__ == "__main__":
    sys.exit(main())
