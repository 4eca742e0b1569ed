"""Row 5: memory and processor time of the whole stack while nobody calls."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from bench.house import House
from bench.measure import Row
from callcenter.launch import ROOT

_TICKS = os.sysconf("SC_CLK_TCK")
# What up.py has loaded while it watches its children.
_UP = """
import sys, types
package = types.ModuleType("callcenter")
package.__path__ = ["callcenter"]
sys.modules["callcenter"] = package
from callcenter.launch.commands import main
print("up", flush=True)
sys.stdin.read()
"""


def row(house: House, seconds: float) -> list[Row]:
    """Look at all processes of the product, their children included, for so long."""
    time.sleep(4)  # the first minute of a process is not its rest
    stack = families(house.processes)
    before, began = cpu(stack), time.monotonic()
    time.sleep(seconds)
    took, after = time.monotonic() - began, cpu(stack)
    memory = pss(stack)
    used = {name: 100 * (after[name] - before[name]) / took for name in after}
    total, busy = sum(memory.values()), sum(used.values())
    each = ", ".join(f"{name} {memory[name]:.0f} MB {used[name]:.1f} %" for name in memory)
    return [
        Row(
            "5 at rest: memory (PSS)", f"{total:.0f} MB", "<= 500 MB", passed=total <= 500,
            notes=[each, f"up.py itself, not counted: {_up():.0f} MB"],
        ),
        Row(
            "5 at rest: processor", f"{busy:.1f} % of a core", "<= 4 %", passed=busy <= 4,
            notes=[f"over {took:.0f} s, beat's sweeps and polls among them"],
        ),
    ]  # fmt: skip


def memory_now(house: House) -> str:
    """Say how much memory the stack has now, after the load."""
    memory = pss(families(house.processes))
    each = ", ".join(f"{name} {size:.0f}" for name, size in memory.items())
    return f"after all rows: {sum(memory.values()):.0f} MB ({each})"


def families(processes: dict[str, int]) -> dict[str, list[int]]:
    """Each process with all that descend from it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = {}
    for name, pid in processes.items():
        family, new = [pid], [pid]
        while new and pid != os.getpid():  # everything descends from this process
            new = [child for parent in new for child in children.get(parent, ())]
            family += new
        found[name] = family
    return found


def pss(families: dict[str, list[int]]) -> dict[str, float]:
    """Megabytes by process; what is shared is divided among those who share it."""
    sizes: Counter[str] = Counter()
    for name, pids in families.items():
        for pid in pids:
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            sizes[name] += sum(int(line.split()[1]) for line in lines if line[:4] == "Pss:")
    return {name: size / 1024 for name, size in sizes.items()}


def cpu(families: dict[str, list[int]]) -> dict[str, float]:
    """Seconds of processor time by process."""
    used: dict[str, float] = dict.fromkeys(families, 0.0)
    for name, pids in families.items():
        for pid in pids:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            used[name] += (int(fields[11]) + int(fields[12])) / _TICKS
    return used


def _up() -> float:
    """Megabytes of a process that has loaded what up.py loads."""
    command = [sys.executable, "-S", "-c", _UP]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        size = pss({"up.py": [process.pid]})["up.py"]
        process.communicate()
    return size
