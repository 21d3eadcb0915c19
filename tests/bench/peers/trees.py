#!/usr/bin/env python3
"""Measure ensembles of trees in process: ours, the libraries that train them, ONNX Runtime, and C compiled from the trees.

    tests/bench/peers/trees.py [--quick] [--rounds N] [--only NAME,NAME] [--out FILE.json] [--work FOLDER]

Ours are the examples time_trees and time_load of host/engine (EXAMPLES, their folder: target/release/examples), from the
library's own file and from ONNX, and time_trees in the sandbox where WASM names the folder of
the examples compiled for it. The peers go into target/bench-venv/trees; a C compiler is needed. Everybody has one thread unless it is said. In each round
every system has its turn, so that a drift of the machine hits all alike; the table gives each one's best. The ensembles are
trained from seeded noise, once, into FOLDER (target/bench-trees). A bar that is missed is printed and no error; a wrong answer
is an error.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/bench"))

import install
from machine import busy, machine
from report import at_least, at_most, bar_lines

if __name__ == "__main__":
    install.enter(ROOT / "target/bench-venv/trees", Path(__file__).with_suffix(".txt"))

import lightgbm
import numpy as np
import onnxruntime
import tl2cgen
import treelite
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_iris

EXAMPLES = Path(os.environ.get("EXAMPLES", ROOT / "target/release/examples"))
WASM = os.environ.get("WASM")
os.environ["WASMTIME_CACHE"] = "1"
SECONDS = 1.0  # that a system has for one size in one round, at least
FEWEST = 5  # calls in that time
LOAD_MB = 100  # of XGBoost's JSON, to load


def iris(folder):
    """The model of the repository: 300 trees of depth 3 at most."""
    x = np.tile(load_iris().data, (7, 1))[:1000]
    x += np.random.default_rng(0).normal(scale=0.1, size=x.shape)
    (folder / "model.json").write_bytes((ROOT / "models/iris/model.json").read_bytes())
    (folder / "model.onnx").write_bytes((ROOT / "models/iris/model.onnx").read_bytes())
    return x


def boosted(folder):
    """XGBoost, 500 trees of depth 6, 50 features."""
    random = np.random.default_rng(1)
    x = random.normal(size=(20000, 50)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + x[:, 2:12].sum(axis=1) + np.sin(3 * x[:, 20]) + random.normal(size=len(x))
    model = xgboost.XGBRegressor(n_estimators=500, max_depth=6).fit(x, y)
    model.save_model(folder / "model.json")
    onnx = convert_xgboost(model, initial_types=[("input", FloatTensorType([None, 50]))], target_opset=15)
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    return x


def leafwise(folder):
    """LightGBM, 200 trees of 500 leaves, 10 features."""
    random = np.random.default_rng(2)
    x = random.normal(size=(60000, 10)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + x.sum(axis=1) + random.normal(size=len(x))
    model = lightgbm.LGBMRegressor(n_estimators=200, num_leaves=500, verbose=-1).fit(x, y)
    model.booster_.save_model(folder / "model.txt")
    onnx = convert_lightgbm(model, initial_types=[("input", FloatTensorType([None, 10]))], target_opset=15)
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())
    return x[:20000]


ENSEMBLES = {"iris": iris, "boosted": boosted, "leafwise": leafwise}


class Ours:
    """A process of its own, whose clock runs around a call of the engine."""

    def __init__(self, model, before=(), threads=1):
        folder = model.parent
        threads = ["--threads", str(threads)] if threads > 1 else []
        self.command = [*(before or [EXAMPLES / "time_trees"]), *threads, model, folder / "rows.f32"]
        self.answers = folder / "answers"

    def time(self, count):
        output = subprocess.run([*self.command, str(count)], check=True, capture_output=True, text=True).stdout
        return int(output.split()[1]) / 1e9

    def answer(self, count):
        subprocess.run([*self.command, "--answers", self.answers], check=True)
        size = self.answers.stat().st_size
        # LightGBM's own file is summed in f64, as it does itself.
        dtype = np.float64 if size % (8 * count) == 0 and self.command[-2].suffix == ".txt" else np.float32
        return np.fromfile(self.answers, dtype=dtype).astype(np.float32)


class Peer:
    """A library in this process; `call` takes what `prepare` makes of rows, which is not timed."""

    def __init__(self, call, rows, prepare=lambda rows: rows):
        self.call, self.rows, self.prepare = call, rows, prepare

    def time(self, count):
        parts = [self.prepare(self.rows[at:at + count].copy()) for at in range(0, len(self.rows) - count + 1, count)][:64]
        times, begin = [], time.perf_counter()
        while len(times) < FEWEST or time.perf_counter() - begin < SECONDS:
            part = parts[len(times) % len(parts)]
            start = time.perf_counter()
            self.call(part)
            times.append(time.perf_counter() - start)
        return min(times)

    def answer(self, count):
        return np.asarray(self.call(self.prepare(self.rows)), dtype=np.float32).ravel()


def onnx_runtime(folder, rows):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    name, last = session.get_inputs()[0].name, session.get_outputs()[-1].name
    return Peer(lambda rows: session.run([last], {name: rows})[0], rows)


def library(folder, rows):
    if (folder / "model.json").exists():
        booster = xgboost.Booster({"nthread": 1}, model_file=folder / "model.json")
        return Peer(booster.inplace_predict, rows)
    booster = lightgbm.Booster(model_file=folder / "model.txt")
    return Peer(lambda rows: booster.predict(rows, num_threads=1), rows)


def compiled(folder, rows):
    target = folder / "trees.so"
    if not target.exists():
        if (folder / "model.json").exists():
            model = treelite.frontend.load_xgboost_model(folder / "model.json")
        else:
            model = treelite.frontend.load_lightgbm_model(folder / "model.txt")
        tl2cgen.export_lib(model, toolchain="gcc", libpath=target, params={"parallel_comp": 32, "quantize": 1})
    predictor = tl2cgen.Predictor(target, nthread=1)
    dtype = "float32" if (folder / "model.json").exists() else "float64"
    return Peer(predictor.predict, rows, lambda rows: tl2cgen.DMatrix(rows.astype(dtype), dtype=dtype))


def systems(name, folder, rows):
    own = folder / ("model.txt" if name == "leafwise" else "model.json")
    found = {
        "ours": Ours(own),
        "ours from ONNX": Ours(folder / "model.onnx"),
        "library": library(folder, rows),
        "ONNX Runtime": onnx_runtime(folder, rows),
        "compiled": compiled(folder, rows),
        "ours, 2 threads": Ours(own, threads=2),
    }
    if WASM:
        command = ROOT / "tests/portable/command.py"
        sandboxed = [sys.executable, command, "run", "--dir", "/::/", Path(WASM, "time_trees.wasm").resolve()]
        found["ours in wasm"] = Ours(own, before=sandboxed)
    return found


def main():
    options = arguments()
    missing = [each for each in ("time_trees", "time_load") if not (EXAMPLES / each).exists()]
    if missing:
        print(f"error: {EXAMPLES / missing[0]} is not there: run cargo build --release --examples", file=sys.stderr)
        return 2
    names = options.only.split(",") if options.only else list(ENSEMBLES)
    others = busy(range(os.cpu_count()))
    print(f"{machine()}; {options.rounds} rounds, each system's best")
    figures, wrong = {}, []
    for name in names:
        folder = (options.work / name).resolve()  # a sandbox follows no link out of it
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "rows.f32").exists():
            ENSEMBLES[name](folder).astype(np.float32).tofile(folder / "rows.f32")
        width = {"iris": 4, "boosted": 50, "leafwise": 10}[name]
        rows = np.fromfile(folder / "rows.f32", dtype=np.float32).reshape(-1, width)
        measured = systems(name, folder, rows)
        answers = {system: each.answer(len(rows)) for system, each in measured.items()}
        for system, answer in answers.items():
            difference = np.abs(answer - answers["ours"])
            share = np.mean(difference > 1e-5 * np.maximum(1, np.abs(answers["ours"])))
            # A converter that rounds thresholds to f32 sends a few rows another way, and so does tl2cgen's compiled code.
            rounded = name == "leafwise" or system == "compiled"
            if share > 0:
                print(f"{name}: {system} differs in {share:.2%} of the answers")
            if share > (1e-3 if rounded else 0):
                wrong.append(f"{name}: {system} differs in {share:.2%} of the answers")
        for size, count in (("one", 1), ("many", len(rows))):
            few = {"ours, 2 threads"} if size == "one" else set()
            turns = {system: each for system, each in measured.items() if system not in few}
            times = [{system: each.time(count) for system, each in turns.items()} for _ in range(options.rounds)]
            best = {system: min(round[system] for round in times) for system in turns}
            figures[name, size] = best
            print(f"\n{name}, {count:,} {'row' if count == 1 else 'rows'}")
            for system, seconds in best.items():
                print(f"  {system:<16} {seconds * 1e6:>12,.1f} us  {count / seconds:>12,.0f} rows/s  {seconds / best['ours']:>6.2f} x ours", flush=True)
    if "boosted" in names:
        figures["load", "100 MB"] = load(options.work / "boosted", options.rounds)
    others = max(others, busy(range(os.cpu_count())))
    if others > 0.1:
        print(f"Other work took up to {others:.0%} of the cores before or after the runs: these figures are no measurement.")
    found = bars(figures)
    print(f"\n{bar_lines(found)}")
    if options.out:
        everything = {"machine": machine(), "others": others, "bars": found,
                      "seconds": {f"{name}, {size}": best for (name, size), best in figures.items()}}
        options.out.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n")
    for each in wrong:
        print(f"error: wrong answer: {each}", file=sys.stderr)
    return 1 if wrong else 0


def load(folder, rounds):
    """Seconds to load a large model: the trees of `boosted` again and again."""
    large = folder / "large.json"
    if not large.exists():
        model = json.loads((folder / "model.json").read_text())
        booster = model["learner"]["gradient_booster"]["model"]
        times = -(-LOAD_MB * 10**6 // (folder / "model.json").stat().st_size)
        trees = booster["trees"] * times
        booster["trees"] = [tree | {"id": at} for at, tree in enumerate(trees)]
        booster["tree_info"] = booster["tree_info"] * times
        booster["iteration_indptr"] = list(range(len(trees) + 1))
        booster["gbtree_model_param"]["num_trees"] = str(len(trees))
        large.write_text(json.dumps(model, separators=(",", ":")))
    peer, own, compact = [], [], []
    for _ in range(rounds):
        start = time.perf_counter()
        xgboost.Booster({"nthread": 1}, model_file=large)
        peer.append(time.perf_counter() - start)
        lines = subprocess.run([EXAMPLES / "time_load", large, "3"], check=True, capture_output=True, text=True).stdout.splitlines()
        for line, times in zip(lines, (own, compact)):
            times.append(float(line.split()[-2]) / 1e3)
    best = {"XGBoost": min(peer), "ours from XGBoost's file": min(own), "ours from the sealed file": min(compact)}
    print(f"\nload, {large.stat().st_size / 1e6:.0f} MB of XGBoost's JSON")
    for system, seconds in best.items():
        print(f"  {system:<26} {seconds * 1e3:>10,.1f} ms  {seconds / best['XGBoost']:>6.3f} x XGBoost", flush=True)
    return best


def bars(figures):
    """What the project is held to. Ours is the slower one of its two forms."""
    def ours(name, size):
        best = figures.get((name, size))
        return best and max(best["ours"], best["ours from ONNX"])

    def over(name, size, system):
        """How many times as long another takes."""
        return figures[name, size][system] / ours(name, size) if (name, size) in figures else None

    def scaled(figure, scale):
        return figure and figure * scale

    found = [
        at_most("iris, 1 row", 2, scaled(ours("iris", "one"), 1e6), "us"),
        at_most("iris, 1,000 rows", 0.3, scaled(ours("iris", "many"), 1e3), "ms"),
        at_least("XGBoost 500 × depth 6, rows/s against XGBoost", 2, over("boosted", "many", "library"), "×"),
        at_least("XGBoost 500 × depth 6, rows/s against ONNX Runtime", 5, over("boosted", "many", "ONNX Runtime"), "×"),
        at_least("XGBoost 500 × depth 6, one row against ONNX Runtime", 2, over("boosted", "one", "ONNX Runtime"), "×"),
        at_least("LightGBM 200 × 500 leaves, rows/s against LightGBM", 4, over("leafwise", "many", "library"), "×"),
        at_least("LightGBM 200 × 500 leaves, rows/s against ONNX Runtime", 2.5, over("leafwise", "many", "ONNX Runtime"), "×"),
    ]
    for name in ENSEMBLES:
        for size in ("one", "many"):
            found.append(at_least(f"{name}, {size}, against code compiled from the trees", 1, over(name, size, "compiled"), "×"))
    best = figures.get(("load", "100 MB"))
    share = best and best["ours from the sealed file"] / best["XGBoost"]
    found.append(at_most("load of 100 MB of XGBoost's JSON, sealed, against XGBoost's own", 0.1, share, "×"))
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 round: does everything work?")
    parser.add_argument("--rounds", type=int, metavar="N", help="3, or 1 with --quick")
    parser.add_argument("--only", metavar="NAME,NAME", help=f"some of {', '.join(ENSEMBLES)}")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all figures, in seconds")
    parser.add_argument("--work", type=Path, default=ROOT / "target/bench-trees", metavar="FOLDER")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
