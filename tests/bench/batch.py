#!/usr/bin/env python3
"""Memory and speed of `ampoule batch`: a table of 2 GB, and a folder of 100,000 objects.

    tests/bench/batch.py target/release/ampoule out/iris.wasm [GIGABYTES [OBJECTS]]

Prints rows and objects a second and the most resident memory, and fails beyond 150 MiB.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

MAX_MIB = 150


def run(ampoule, model, source, target):
    """Runs a job; gives its seconds and the most MiB that it had resident."""
    start = time.monotonic()
    child = subprocess.Popen([ampoule, "batch", model, str(source), str(target)], stdout=subprocess.DEVNULL)
    most = 0
    while child.poll() is None:
        try:
            status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        peaks = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        most = max([most] + [int(line.split()[1]) / 1024 for line in peaks])
        time.sleep(0.02)
    if child.returncode != 0:
        sys.exit(f"the job ended with {child.returncode}")
    return time.monotonic() - start, most


def main():
    ampoule, model = sys.argv[1:3]
    size = float(sys.argv[3]) * 1e9 if len(sys.argv) > 3 else 2e9
    objects = int(sys.argv[4]) if len(sys.argv) > 4 else 100_000
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "table").mkdir()
        note = "a column that the model does not take and as wide as tables have them; " * 3
        rows = 0
        with (folder / "table/flowers.csv").open("w") as table:
            table.write(",".join([*names, "note"]) + "\n")
            while table.tell() < size:
                lines = (f"{4 + row % 3}.{row % 10},3.5,1.4,0.{row % 9},{note}\n" for row in range(10_000))
                table.write("".join(lines))
                rows += 10_000
        seconds, table_mib = run(ampoule, model, folder / "table", folder / "predictions")
        with (folder / "predictions/flowers.csv.jsonl").open("rb") as lines:
            found = sum(piece.count(b"\n") for piece in iter(lambda: lines.read(1 << 20), b""))
        if found != rows:
            sys.exit(f"expected {rows} predictions, got {found}")
        print(f"table of {size / 1e9:g} GB: {rows} rows, {rows / seconds:,.0f} rows/s, {table_mib:.0f} MiB")
        (folder / "many").mkdir()
        for number in range(objects):
            (folder / f"many/{number:06}.json").write_text(f"[[4.{number % 10},3.5,1.4,0.2]]")
        seconds, many_mib = run(ampoule, model, folder / "many", folder / "answers")
        print(f"{objects:,} objects: {objects / seconds:,.0f} objects/s, {many_mib:.0f} MiB")
    if max(table_mib, many_mib) > MAX_MIB:
        sys.exit(f"expected at most {MAX_MIB} MiB, got {max(table_mib, many_mib):.0f}")


main()
