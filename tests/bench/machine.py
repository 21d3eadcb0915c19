"""The machine that measures: what it is, and whether it has other work."""

import os
import platform
import time
from pathlib import Path


def busy(cores):
    """The share of `cores` that is in use while nothing is measured: other programs, or other guests of the machine."""
    def ticks():
        lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
        found = [list(map(int, line[1:9])) for line in lines if line[0] in {f"cpu{core}" for core in cores}]
        return sum(map(sum, found)), sum(one[3] + one[4] for one in found)

    (all_before, idle_before), _, (all_after, idle_after) = ticks(), time.sleep(0.5), ticks()
    return 1 - (idle_after - idle_before) / max(all_after - all_before, 1)


def machine():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.machine()
    return f"{processor} × {os.cpu_count()}, Linux {platform.release()}, Python {platform.python_version()}"
