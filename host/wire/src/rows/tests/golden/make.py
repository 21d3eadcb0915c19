"""Makes the files that the readers are held against, and what Python's libraries read in them.

    pip install pyarrow==26.0.1 pandas==3.1.1
    python make.py

The same seed gives the same files. expected.json holds, for each file, its rows as JSON values.
"""

import csv
import decimal
import io
import json
import math
import random
import datetime as dt
from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
rng = random.Random(20261121)
expected = {}

ODD = ["", " ", "a", "a,b", 'a"b', '"', '""', "a\nb", "a\r\nb", "é", "日本", "🌧", "e\u0301", "-", "NaN",
       "null", "1e5", "01", "=1+1", "\u2028", "\t", "'", "\\", "\\n", "x" * 300]


def tables():
    """Tables of odd texts, written by Python's csv in each of its ways and read back by it."""
    rows = [[rng.choice(ODD) for _ in range(4)] for _ in range(200)]
    # A lone carriage return ends a record for us and for most, but not for this reader.
    for name, options in {
        "lf.csv": {"lineterminator": "\n"},
        "crlf.csv": {"lineterminator": "\r\n"},
        "all-quoted.csv": {"lineterminator": "\n", "quoting": csv.QUOTE_ALL},
    }.items():
        text = io.StringIO(newline="")
        writer = csv.writer(text, **options)
        writer.writerow(["a", "b", "c", "d"])
        writer.writerows(rows)
        mark = "\ufeff" if name == "crlf.csv" else ""
        (HERE / name).write_bytes((mark + text.getvalue()).encode())
        read = list(csv.reader(io.StringIO(text.getvalue(), newline="")))
        assert read[1:] == rows
        expected[name] = [dict(zip("abcd", row)) for row in read[1:]]


def numbers():
    """Numbers as people and programs write them, read by pandas."""
    texts = ["0", "-0", "1", "+1", "007", "1.", ".5", "-.5e-3", "1e5", "1E+05", "9007199254740993", "0.1",
             "1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "123456789.123456789", " 4 "]
    texts += [repr(rng.uniform(-1e6, 1e6)) for _ in range(100)]
    texts += [repr(rng.random() * 10 ** rng.randint(-300, 300)) for _ in range(100)]
    (HERE / "numbers.csv").write_text("x,n\n" + "".join(f"{text},{index}\n" for index, text in enumerate(texts)))
    frame = pandas.read_csv(HERE / "numbers.csv", skipinitialspace=True)
    expected["numbers.csv"] = [{"x": float(x), "n": int(n)} for x, n in zip(frame["x"], frame["n"])]


def shown(value):
    """A value as our JSON shows it."""
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, dt.datetime):
        zone = "+00:00" if value.tzinfo else ""
        value = value.astimezone(dt.timezone.utc).replace(tzinfo=None) if value.tzinfo else value
        micros = value.microsecond
        fraction = "" if micros == 0 else f".{micros // 1000:03}" if micros % 1000 == 0 else f".{micros:06}"
        return f"{value:%Y-%m-%d %H:%M:%S}{fraction}{zone}"
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, bytes):
        import base64
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    raise TypeError(value)


def columns():
    """A column of each type that a Parquet file mostly has, with nulls, in several row groups."""
    count = 60

    def some(make, nulls=True):
        return [None if nulls and rng.random() < 0.15 else make() for _ in range(count)]

    stamps = lambda: dt.datetime(2019, 1, 1) + dt.timedelta(microseconds=rng.randint(-10**15, 10**15))
    table = pa.table({
        "i8": pa.array(some(lambda: rng.randint(-128, 127)), pa.int8()),
        "u64": pa.array(some(lambda: rng.choice([0, 2**53 + 1, 2**64 - 1])), pa.uint64()),
        "i64": pa.array(some(lambda: rng.choice([2**53 + 1, -2**63, 7])), pa.int64()),
        "f16": pa.array(some(lambda: rng.randint(-8, 8) / 8), pa.float16()),
        "f32": pa.array(some(lambda: rng.choice([0.5, float("nan"), -1.25, float("inf")])), pa.float32()),
        "f64": pa.array(some(lambda: rng.choice([0.1, float("nan"), -0.0, 1e300])), pa.float64()),
        "bool": pa.array(some(lambda: rng.random() < 0.5), pa.bool_()),
        "text": pa.array(some(lambda: rng.choice(ODD)), pa.string()),
        "large": pa.array(some(lambda: rng.choice(ODD)), pa.large_string()),
        "word": pa.array(some(lambda: rng.choice(["red", "green", "blue"])), pa.string()).dictionary_encode(),
        "bytes": pa.array(some(lambda: bytes(rng.randbytes(rng.randint(0, 9)))), pa.binary()),
        "day": pa.array(some(lambda: stamps().date()), pa.date32()),
        "micros": pa.array(some(stamps), pa.timestamp("us")),
        "utc": pa.array(some(stamps), pa.timestamp("ms", tz="Europe/Berlin"), safe=False),
        "price": pa.array(some(lambda: decimal.Decimal(rng.randint(-10**9, 10**9)).scaleb(-2)), pa.decimal128(12, 2)),
        "wide": pa.array(some(lambda: decimal.Decimal(rng.randint(-10**40, 10**40)).scaleb(-5)), pa.decimal256(45, 5)),
        "list": pa.array(some(lambda: [rng.choice([None, 1, 2]) for _ in range(rng.randint(0, 3))]), pa.list_(pa.int32())),
        "grid": pa.array(some(lambda: [[rng.random() for _ in range(2)] for _ in range(2)]), pa.list_(pa.list_(pa.float64(), 2))),
        "place": pa.array(some(lambda: {"x": rng.randint(0, 9), "tags": [rng.choice("ab")]}),
                          pa.struct({"x": pa.int32(), "tags": pa.list_(pa.string())})),
    })
    codecs = {"none": {}, "snappy": {}, "gzip": {}, "zstd": {"data_page_version": "2.0"},
              "brotli": {"use_dictionary": False}, "lz4": {"data_page_size": 64}}
    for codec, options in codecs.items():
        name = f"{codec}.parquet"
        pq.write_table(table, HERE / name, compression=codec, row_group_size=25, **options)
        rows = [shown(row) for row in pq.read_table(HERE / name).to_pylist()]
        assert rows == expected.setdefault("columns", rows)


def signature():
    """Columns that become inputs: numbers of other types, lists, nulls."""
    count = 40
    table = pa.table({
        "unused": pa.array(range(count), pa.int64()),
        "v": pa.array([[index, index + 0.5, -index] for index in range(count)], pa.list_(pa.float64())),
        "n": pa.array([decimal.Decimal(index).scaleb(0) for index in range(count)], pa.decimal128(10, 2)),
        "x": pa.array([None if index % 7 == 3 else index for index in range(count)], pa.int16()),
        "s": pa.array(["red" if index % 2 else None for index in range(count)]).dictionary_encode(),
        "flag": pa.array([index % 3 == 0 for index in range(count)]),
    })
    pq.write_table(table, HERE / "signature.parquet", compression="zstd", row_group_size=16)
    rows = table.select(["v", "n", "x", "s", "flag"]).to_pylist()
    expected["signature.parquet"] = [{**row, "n": int(row["n"]), "x": None if row["x"] is None else float(row["x"])}
                                     for row in rows]


tables()
numbers()
columns()
signature()
lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows, ensure_ascii=False)}" for name, rows in expected.items())
(HERE / "expected.json").write_text("{" + lines + "}\n")
