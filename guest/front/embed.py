#!/usr/bin/env python3
"""Asks a portable ampoule from Python: `pip install wasmtime`, then `embed.py iris.wasm 5.1 3.5 1.4 0.2`.

The numbers are one flower, in the order of the names below. `Model` takes the inputs of any model whose fields are f32 scalars.
"""

import struct
import sys

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, Record, Variant

FORMATS = {"u8": "B", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "f16": "e", "f32": "f", "f64": "d", "bool": "?"}


def record(**fields):
    made = Record()
    vars(made).update(fields)
    return made


class Model:
    """A portable ampoule. Opening one compiles it, which takes seconds; a prediction takes microseconds."""

    def __init__(self, path):
        self.store = Store(Engine())
        self.store.set_wasi(WasiConfig())
        linker = Linker(self.store.engine)
        linker.add_wasip2()
        instance = linker.instantiate(self.store, Component.from_file(self.store.engine, path))
        predictor = instance.get_export_index(self.store, "ampoule:model/predictor@0.1.0")
        self.function = instance.get_func(self.store, instance.get_export_index(self.store, "predict", predictor))

    def predict(self, columns):
        """Takes `{name: [f32, ...]}`, one number for each instance, and gives `{name: [value, ...]}`, row-major."""
        columns = [
            record(
                name=name,
                shape=[len(values)],
                values=record(dtype="f32", data=struct.pack(f"<{len(values)}f", *values)),
            )
            for name, values in columns.items()
        ]
        answer = self.function(self.store, Variant("columns", columns), None)
        self.function.post_return(self.store)
        if not isinstance(answer, Variant):
            raise ValueError(answer.message)
        return {column.name: values(column.values) for column in answer.payload}


def values(column):
    if isinstance(column, list):
        return column
    kind = FORMATS[column.dtype]
    return list(struct.unpack(f"<{len(column.data) // struct.calcsize(kind)}{kind}", column.data))


if __name__ == "__main__":
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    numbers = [float(text) for text in sys.argv[2:]]
    if len(numbers) != len(names):
        sys.exit(f"embed.py AMPOULE NUMBER...: expected {', '.join(names)}, got {len(numbers)} numbers")
    print(Model(sys.argv[1]).predict({name: [number] for name, number in zip(names, numbers, strict=True)}))
