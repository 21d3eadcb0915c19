#!/usr/bin/env python3
"""Measure ensembles of trees in process: ours, the libraries that train them, ONNX Runtime, and C compiled from the trees.

    tests/bench/peers/trees.py TIME_TREES [--rounds N] [--only NAME,NAME] [--out FILE.json] [--work FOLDER]

TIME_TREES is target/release/examples/time_trees. Needs trees.txt and a C compiler. Everybody has one thread. In each round
every system has its turn, so that a drift of the machine hits all alike; the table gives each one's best. The ensembles are
trained from seeded noise, once, into FOLDER (target/bench-trees). A wrong answer is an error.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import lightgbm
import numpy as np
import onnxruntime
import tl2cgen
import treelite
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_iris

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 1.0  # that a system has for one size in one round, at least
FEWEST = 5  # calls in that time


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

    def __init__(self, program, folder):
        self.command = [program, folder / "model.onnx", folder / "rows.f32"]
        self.answers = folder / "answers"

    def time(self, count):
        output = subprocess.run([*self.command, str(count)], check=True, capture_output=True, text=True).stdout
        return int(output.split()[1]) / 1e9

    def answer(self):
        subprocess.run([*self.command, "--answers", self.answers], check=True)
        return np.fromfile(self.answers, dtype=np.float32)


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

    def answer(self):
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


def main():
    options = arguments()
    names = options.only.split(",") if options.only else list(ENSEMBLES)
    figures, wrong = {}, []
    for name in names:
        folder = options.work / name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "rows.f32").exists():
            ENSEMBLES[name](folder).astype(np.float32).tofile(folder / "rows.f32")
        width = {"iris": 4, "boosted": 50, "leafwise": 10}[name]
        rows = np.fromfile(folder / "rows.f32", dtype=np.float32).reshape(-1, width)
        systems = {
            "ours": Ours(options.program, folder),
            "library": library(folder, rows),
            "ONNX Runtime": onnx_runtime(folder, rows),
            "compiled": compiled(folder, rows),
        }
        answers = {system: each.answer() for system, each in systems.items()}
        for system, answer in answers.items():
            difference = np.abs(answer - answers["ours"])
            # A converter that rounds thresholds to f32 sends a few rows another way.
            share = np.mean(difference > 1e-5 * np.maximum(1, np.abs(answers["ours"])))
            if share > (1e-3 if name == "leafwise" else 0):
                wrong.append(f"{name}: {system} differs in {share:.2%} of the answers")
        for count in (1, len(rows)):
            times = [{system: each.time(count) for system, each in systems.items()} for _ in range(options.rounds)]
            best = {system: min(round[system] for round in times) for system in systems}
            figures[f"{name}, {count} rows"] = best
            line = ", ".join(
                f"{system} {seconds * 1e6:,.1f} us ({seconds / best['ours']:.1f} x)" for system, seconds in best.items()
            )
            print(f"{name}, {count} {'row' if count == 1 else 'rows'}: {line}", flush=True)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    for each in wrong:
        print(f"error: wrong answer: {each}", file=sys.stderr)
    return 1 if wrong else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, metavar="TIME_TREES")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="3")
    parser.add_argument("--only", metavar="NAME,NAME", help=f"some of {', '.join(ENSEMBLES)}")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all figures, in seconds")
    parser.add_argument("--work", type=Path, default=ROOT / "target/bench-trees", metavar="FOLDER")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
