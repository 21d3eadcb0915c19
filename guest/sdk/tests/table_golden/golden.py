"""How a golden case is written: one JSON object per line, read by `cases.rs`.

A column is `{"name", "dtype", "shape", "items"}`. Items are row-major; floats are JSON numbers or "NaN",
"Infinity", "-Infinity"; f16 is its 16 bits as an integer; a missing string is null.
"""

import json
import math
from pathlib import Path

import numpy as np

TOLERANCE = {"f32": 1e-6, "f64": 1e-12}


def column(name, values, dtype=None):
    """A column from an array; lists of strings and None become strings."""
    array = np.asarray(values)
    if dtype == "string" or array.dtype.kind in "OUS":
        array = np.asarray(values, dtype=object)
        items = [None if value is None else str(value) for value in array.ravel()]
        return {"name": name, "dtype": "string", "shape": list(array.shape), "items": items}
    kinds = {"bool": "bool", "uint8": "u8", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
             "float16": "f16", "float32": "f32", "float64": "f64"}
    kind = kinds[array.dtype.name]
    flat = array.view(np.uint16).ravel() if kind == "f16" else array.ravel()
    items = [number(value) for value in flat.tolist()]
    return {"name": name, "dtype": kind, "shape": list(array.shape), "items": items}


def number(value):
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


class Cases:
    def __init__(self):
        self.cases = []

    def expect(self, name, steps, columns, expected, dtype="f64"):
        """The steps turn `columns` into `expected`, within the tolerance of `dtype`."""
        tolerance = TOLERANCE[dtype]
        self.cases.append({"name": name, "steps": steps, "input": columns, "expected": expected,
                           "atol": tolerance, "rtol": tolerance})

    def refuse(self, name, steps, columns, fault, message, reference=None):
        """The steps fail with `message`; so does `reference`, where it is given."""
        if reference is not None:
            try:
                reference()
            except ValueError:
                pass
            else:
                raise SystemExit(f"{name}: the reference doesn't refuse it")
        self.cases.append({"name": name, "steps": steps, "input": columns, "fault": fault, "failure": message})

    def write(self, script):
        path = Path(script).parent / "cases.jsonl"
        lines = [json.dumps(case, ensure_ascii=False, allow_nan=False) for case in self.cases]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{path}: {len(lines)} cases")
