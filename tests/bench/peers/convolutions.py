#!/usr/bin/env python3
"""Times convolutional models here, in ONNX Runtime from Python, in ONNX Runtime as the engine here, and here in the sandbox
where WASM names the folder of the examples compiled for it, in turns, one thread each; prints a table and the bars.

    tests/bench/peers/convolutions.py [--ours PROGRAM] [--json FILE] [MODEL:SHAPE ...]

PROGRAM is the example time_rounds of host/engine with its feature onnxruntime (target/release/examples/time_rounds). The peer
goes into target/bench-venv/convolutions. A bar that is missed is printed and no error.

Without models: the two of convolution_models.py, the two of the repository (models/clouds, and models/csmask where it
has been fetched) and the text detector of rapidocr-onnxruntime 1.4.4. A model's time is the least of all rounds, which
a machine that does other things disturbs least.
"""

import sys

sys.dont_write_bytecode = True

import argparse
import json
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parent))

import install
from report import at_most, bar_lines

if __name__ == "__main__":
    install.enter(ROOT / "target/bench-venv/convolutions", HERE / "convolutions.txt")

import numpy as np
import onnxruntime

WASM = os.environ.get("WASM")
ROUNDS = 8
ROUND_MS = 400


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", default=ROOT / "target/release/examples/time_rounds", help="the example time_rounds")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("models", nargs="*", help="path:shape, the shape as 1,3,224,224")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        models = [model.rsplit(":", 1) for model in options.models] or list(known(folder))
        print(
            f"{'':<14}{'ONNX Runtime':>14}{'native':>10}{'':>46}   --engine onnxruntime"
            + f"{'':>34}in the sandbox" * bool(WASM)
            + f"\n{'model':<14}{'from Python':>14}"
            + f"{'time':>10}{'ratio':>7}{'difference':>12}{'load':>9}{'peak':>9}" * (3 if WASM else 2)
        )
        figures = [figure(Path(path), shape, options.ours, folder) for path, shape in models]
    print()
    bars = [("native", 1.3), ("onnxruntime", 1.05)]
    print(bar_lines(at_most(f"{figure['model']}, {engine}, against ONNX Runtime", limit, figure[engine]["ratio"], "×")
                    for engine, limit in bars for figure in figures))
    if WASM:
        for each in figures:
            print(f"{each['model']}: in the sandbox {each['wasm']['ms'] / each['native']['ms']:.2f} × native")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def known(folder):
    subprocess.run([sys.executable, HERE / "convolution_models.py", folder], check=True)
    yield folder / "resnet50.onnx", "1,3,224,224"
    yield folder / "mobilenet.onnx", "1,3,224,224"
    yield ROOT / "models/clouds/model.onnx", "1,3,256,256"
    csmask = ROOT / "models/csmask/model_4b_l1c.onnx"
    if csmask.exists():
        yield csmask, "1,4,256,256"
    yield detector(folder), "1,3,320,320"


def detector(folder):
    """PP-OCR's text detector, in `folder`."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "--dest", folder, "rapidocr-onnxruntime==1.4.4"], check=True)
    (wheel,) = folder.glob("rapidocr*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", folder))


def figure(path, shape, ours, folder):
    dims = [int(dim) for dim in shape.split(",")]
    values = np.random.default_rng(7).random(dims, dtype=np.float32)
    (folder / "input").write_bytes(values.tobytes())
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: values}
    expected = session.run(None, feed)[0]
    output = folder / "output"
    command = [ours, path.resolve(), shape, folder / "input", output]
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*")
    engines = {"native": Engine(command, output), "onnxruntime": Engine([*command, library], output)}
    if WASM:
        runtime = [sys.executable, ROOT / "tests/portable/command.py", "run", "--dir", "/::/"]
        sandboxed = [*runtime, Path(WASM, "time_rounds.wasm").resolve()]
        engines["wasm"] = Engine([*sandboxed, *command[1:]], output)
    differences = {name: difference(engine.answer, expected) for name, engine in engines.items()}
    peer, times = [], {name: [] for name in engines}
    for _ in range(ROUNDS):
        peer.append(least(lambda: session.run(None, feed)))
        for name, engine in engines.items():
            times[name].append(engine.least())
    peer = min(peer)
    line = f"{path.stem[:13]:<14}{peer:>11.2f} ms"
    figures = {"model": path.stem, "onnxruntime_ms": peer}
    for name, engine in engines.items():
        time, peak = min(times[name]), engine.peak()
        line += f"{time:>7.2f} ms{time / peer:>7.3f}{differences[name]:>12.1e}{engine.load:>6.0f} ms{peak:>6.0f} MB"
        figures[name] = {"ms": time, "ratio": time / peer, "difference": differences[name]}
    print(line, flush=True)
    return figures


class Engine:
    """An engine of ours, in a process that runs when it is told to."""

    def __init__(self, command, output):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.load = float(self.process.stdout.readline())
        self.answer = np.frombuffer(output.read_bytes(), np.float32)

    def least(self):
        self.process.stdin.write(f"{ROUND_MS}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def peak(self):
        self.process.stdin.close()
        peak = int(self.process.stdout.readline().split()[1]) / 1024
        self.process.wait()
        return peak


def difference(got, expected):
    return float(np.abs(got.reshape(expected.shape) - expected).max() / np.abs(expected).max())


def least(call):
    from time import perf_counter

    times, begin = [], perf_counter()
    while not times or perf_counter() - begin < ROUND_MS / 1e3:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times) * 1e3


if __name__ == "__main__":
    main()
