"""Makes cases.jsonl for the table steps, with NumPy and scikit-learn as the reference.

    python3 make.py

Made with NumPy 2.4.6 and scikit-learn 1.9.1.
"""

import warnings

import numpy as np
from golden import Cases, column
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (KBinsDiscretizer, MinMaxScaler, OneHotEncoder, OrdinalEncoder,
                                   StandardScaler)

warnings.simplefilter("ignore")
random = np.random.default_rng(20240117)
cases = Cases()
nan = float("nan")


def split(names, matrix):
    return [column(name, np.ascontiguousarray(matrix[:, index])) for index, name in enumerate(names)]


# Standardise
train = random.normal([3.0, -200.0, 1e-3], [1.0, 50.0, 1e-4], (40, 3))
scaler = StandardScaler().fit(train)
names = ["a", "b", "c"]
standardise = {"standardise": {"columns": names, "mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}}
for dtype, kind in [(np.float64, "f64"), (np.float32, "f32")]:
    for rows in [0, 1, 7]:
        test = random.normal([3.0, -200.0, 1e-3], [2.0, 90.0, 3e-4], (rows, 3)).astype(dtype)
        expected = scaler.transform(test) if rows else test
        cases.expect(f"standardise {kind} {rows} rows", [standardise], split(names, test), split(names, expected), kind)
test = random.normal(size=(4, 3))
cases.expect("standardise a matrix column", [{"standardise": {**standardise["standardise"], "columns": ["m"]}}],
             [column("m", test)], [column("m", scaler.transform(test))])
cases.expect("standardise a matrix beside a vector",
             [{"standardise": {**standardise["standardise"], "columns": ["m", "v"]}}],
             [column("v", test[:, 2].copy()), column("m", test[:, :2].copy())],
             [column("v", scaler.transform(test)[:, 2].copy()), column("m", scaler.transform(test)[:, :2].copy())])
integers = random.integers(-50, 50, (5, 3))
cases.expect("standardise integers become f64", [standardise], split(names, integers),
             split(names, scaler.transform(integers)))
half = random.normal(size=(3, 1)).astype(np.float16)
one = StandardScaler().fit(random.normal(size=(10, 1)).astype(np.float32))
cases.expect("standardise f16 becomes f32",
             [{"standardise": {"columns": ["h"], "mean": one.mean_.tolist(), "scale": one.scale_.tolist()}}],
             [column("h", half)], [column("h", one.transform(half.astype(np.float32)))], "f32")
test[1, 0] = test[3, 2] = nan
keep = {"standardise": {**standardise["standardise"], "missing": "keep"}}
cases.expect("standardise keeps NaN", [keep], split(names, test), split(names, scaler.transform(test)))
cases.refuse("standardise refuses NaN unless told", [standardise], split(names, test), "caller",
             'instance 1: column "a": expected a finite number, got a missing value')
infinite = test.copy()
infinite[:] = 1.0
infinite[2, 1] = np.inf
cases.refuse("standardise refuses infinities", [keep], split(names, infinite), "caller",
             'instance 2: column "b": expected a finite number, got inf', lambda: scaler.transform(infinite))
centre = StandardScaler(with_std=False).fit(train)
spread = StandardScaler(with_mean=False).fit(train)
test = random.normal(size=(3, 3))
cases.expect("standardise with the mean alone", [{"standardise": {"columns": names, "mean": centre.mean_.tolist()}}],
             split(names, test), split(names, centre.transform(test)))
cases.expect("standardise with the scale alone", [{"standardise": {"columns": names, "scale": spread.scale_.tolist()}}],
             split(names, test), split(names, spread.transform(test)))
constant = StandardScaler().fit(np.full((5, 1), 7.0))
cases.expect("standardise a constant feature",
             [{"standardise": {"columns": ["k"], "mean": constant.mean_.tolist(), "scale": constant.scale_.tolist()}}],
             [column("k", [7.0, 8.5])], [column("k", constant.transform([[7.0], [8.5]])[:, 0])])

# MinMax
for dtype, kind in [(np.float64, "f64"), (np.float32, "f32")]:
    for clip in [False, True]:
        for bounds in [(0, 1), (-3, 5)]:
            scaler = MinMaxScaler(feature_range=bounds, clip=clip).fit(train)
            test = random.normal([3.0, -200.0, 1e-3], [3.0, 200.0, 5e-4], (9, 3)).astype(dtype)
            config = {"columns": names, "min": scaler.data_min_.tolist(), "max": scaler.data_max_.tolist(),
                      "range": list(bounds), "clip": clip}
            cases.expect(f"min-max {kind} clip {clip} to {bounds}", [{"min-max": config}], split(names, test),
                         split(names, scaler.transform(test)), kind)
scaler = MinMaxScaler().fit(train)
config = {"columns": names, "min": scaler.data_min_.tolist(), "max": scaler.data_max_.tolist()}
test[0, 1] = nan
wide = test.astype(np.float64)
cases.expect("min-max keeps NaN", [{"min-max": {**config, "missing": "keep"}}], split(names, wide),
             split(names, scaler.transform(wide)))
constant = MinMaxScaler().fit(np.full((3, 1), 4.0))
cases.expect("min-max a constant feature", [{"min-max": {"columns": ["k"], "min": [4.0], "max": [4.0]}}],
             [column("k", [3.0, 4.0, 6.5])], [column("k", constant.transform([[3.0], [4.0], [6.5]])[:, 0])])
cases.expect("min-max integers", [{"min-max": config}], split(names, integers), split(names, scaler.transform(integers)))

# Impute
for strategy in ["mean", "median", "most_frequent"]:
    for dtype, kind in [(np.float64, "f64"), (np.float32, "f32")]:
        holes = random.normal(size=(12, 3)).astype(dtype)
        holes[random.random((12, 3)) < 0.3] = nan
        imputer = SimpleImputer(strategy=strategy).fit(holes)
        step = {"impute": {"columns": names, "values": imputer.statistics_.astype(np.float64).tolist()}}
        cases.expect(f"impute {strategy} {kind}", [step], split(names, holes), split(names, imputer.transform(holes)), kind)
cases.expect("impute a matrix column", [{"impute": {**step["impute"], "columns": ["m"]}}], [column("m", holes)],
             [column("m", imputer.transform(holes))], "f32")
words = np.array([["ja"], [None], ["näin"], [None], [""]], dtype=object)
filled = SimpleImputer(strategy="constant", fill_value="–", missing_values=None).fit_transform(words)
cases.expect("impute strings", [{"impute": {"columns": ["w"], "values": ["–"]}}],
             [column("w", words[:, 0])], [column("w", filled[:, 0])])
cases.expect("impute leaves integers and no rows", [{"impute": {"columns": ["i", "e"], "values": [7, 0.5]}}],
             [column("i", np.array([], dtype=np.int64)), column("e", np.array([], dtype=np.float32))],
             [column("i", np.array([], dtype=np.int64)), column("e", np.array([], dtype=np.float32))])
halves = np.array([1.5, nan, -2.25], dtype=np.float16)
cases.expect("impute f16", [{"impute": {"columns": ["h"], "values": [0.1]}}], [column("h", halves)],
             [column("h", np.where(np.isnan(halves), np.float16(0.1), halves))])

# OneHot
cities = np.array([["Zürich"], ["東京"], ["São Paulo"], ["Zürich"], ["🦊"]], dtype=object)
encoder = OneHotEncoder(sparse_output=False, dtype=np.float32).fit(cities)
categories = encoder.categories_[0].tolist()
base = {"column": "city", "categories": categories}
for rows in [0, 1, 5]:
    expected = encoder.transform(cities[:rows]) if rows else np.zeros((0, 4), np.float32)
    cases.expect(f"one-hot unicode {rows} rows", [{"one-hot": base}], [column("city", cities[:rows, 0], "string")],
                 [column("city", expected)])
strange = np.array([["東京"], ["Zu\u0308rich"], ["🦊"]], dtype=object)
ignoring = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(cities)
cases.expect("one-hot ignores unknown text, composed differently",
             [{"one-hot": {**base, "unknown": "ignore", "dtype": "f64"}}], [column("city", strange[:, 0])],
             [column("city", ignoring.transform(strange))])
cases.refuse("one-hot refuses unknown text", [{"one-hot": {"column": "city", "categories": ["東京", "Zürich"]}}],
             [column("city", ["東京", "Bern"])], "caller",
             'instance 1: column "city": expected one of "東京", "Zürich", got "Bern"',
             lambda: encoder.transform([["Bern"]]))
names_out = encoder.get_feature_names_out(["city"])
flat = encoder.transform(cities)
cases.expect("one-hot as columns between others",
             [{"one-hot": {**base, "output": "columns"}}],
             [column("x", np.arange(5)), column("city", cities[:, 0]), column("y", np.arange(5.0))],
             [column("x", np.arange(5)), *split(names_out, flat), column("y", np.arange(5.0))])
dropping = OneHotEncoder(sparse_output=False, drop="first", dtype=np.float32).fit(cities)
cases.expect("one-hot drops the first", [{"one-hot": {**base, "drop": int(dropping.drop_idx_[0])}}],
             [column("city", cities[:, 0])], [column("city", dropping.transform(cities))])
cases.expect("one-hot drops one as columns", [{"one-hot": {**base, "drop": 0, "output": "columns"}}],
             [column("city", cities[:, 0])], split(dropping.get_feature_names_out(["city"]), dropping.transform(cities)))
holes = np.array([["a"], [None], ["b"]], dtype=object)
encoder = OneHotEncoder(sparse_output=False, dtype=np.uint8).fit(holes)
cases.expect("one-hot with missing as a category",
             [{"one-hot": {"column": "w", "categories": ["a", "b", None], "dtype": "u8"}}],
             [column("w", holes[:, 0])], [column("w", encoder.transform(holes))])
cases.expect("one-hot ignores missing", [{"one-hot": {"column": "w", "categories": ["a", "b"], "missing": "ignore"}}],
             [column("w", holes[:, 0])], [column("w", np.array([[1, 0], [0, 0], [0, 1]], dtype=np.float32))])
cases.refuse("one-hot refuses missing", [{"one-hot": {"column": "w", "categories": ["a", "b"]}}],
             [column("w", holes[:, 0])], "caller",
             'instance 1: column "w": expected one of "a", "b", got a missing value')
for dtype, values in [("i64", np.array([[3], [-1], [7]])), ("f64", np.array([[0.1], [3.0], [nan]])),
                      ("f32", np.array([[0.1], [3.0], [nan]], dtype=np.float32)),
                      ("bool", np.array([[True], [False]]))]:
    encoder = OneHotEncoder(sparse_output=False, dtype=np.float32).fit(values)
    kinds = [None if value != value else value for value in encoder.categories_[0].tolist()]
    if dtype == "f32":
        kinds = [None if value is None else round(value, 6) for value in kinds]
    cases.expect(f"one-hot {dtype}", [{"one-hot": {"column": "n", "categories": kinds}}],
                 [column("n", values)], [column("n", encoder.transform(values))])
many = np.array([[f"k{index:03}"] for index in range(60)], dtype=object)
encoder = OneHotEncoder(sparse_output=False, dtype=np.uint8).fit(many)
shuffled = random.permutation(many)
cases.expect("one-hot with many categories and rows",
             [{"one-hot": {"column": "k", "categories": encoder.categories_[0].tolist(), "dtype": "u8"}}],
             [column("k", shuffled[:, 0])], [column("k", encoder.transform(shuffled))])

# Ordinal
encoder = OrdinalEncoder().fit(cities)
cases.expect("ordinal unicode", [{"ordinal": {**base, "dtype": "f64"}}], [column("city", cities)],
             [column("city", encoder.transform(cities))])
encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.int64).fit(cities)
cases.expect("ordinal unknown is -1", [{"ordinal": {**base, "unknown": {"value": -1}, "dtype": "i64"}}],
             [column("city", strange)], [column("city", encoder.transform(strange))])
cases.refuse("ordinal refuses unknown numbers", [{"ordinal": {"column": "n", "categories": [1, 2.5]}}],
             [column("n", [2.5, 1.0, 3.0])], "caller", 'instance 2: column "n": expected one of 1, 2.5, got 3.0',
             lambda: OrdinalEncoder().fit([[1.0], [2.5]]).transform([[3.0]]))
encoder = OrdinalEncoder().fit(holes)
cases.expect("ordinal with missing as a category", [{"ordinal": {"column": "w", "categories": ["a", "b", None], "dtype": "f64"}}],
             [column("w", holes)], [column("w", encoder.transform(holes))])
blanks = np.array([["a"], [nan], ["b"]], dtype=object)
encoder = OrdinalEncoder().fit(blanks)
cases.expect("ordinal missing is NaN",
             [{"ordinal": {"column": "w", "categories": ["a", "b"], "missing": {"value": None}, "dtype": "f64"}}],
             [column("w", holes)], [column("w", encoder.transform(blanks))])
encoder = OrdinalEncoder(encoded_missing_value=-2).fit(np.array([[1.5], [nan], [0.5]]))
cases.expect("ordinal missing number is -2",
             [{"ordinal": {"column": "n", "categories": [0.5, 1.5], "missing": {"value": -2}, "dtype": "f64"}}],
             [column("n", [1.5, nan, 0.5])], [column("n", encoder.transform([[1.5], [nan], [0.5]])[:, 0])])
cases.expect("ordinal no rows", [{"ordinal": {"column": "w", "categories": ["a"]}}], [column("w", [], "string")],
             [column("w", np.array([], dtype=np.float32))])

# Log1p, Clip, Bin
for dtype, kind in [(np.float64, "f64"), (np.float32, "f32")]:
    values = np.concatenate([random.exponential(1000, 8), [0.0, -0.5, 1e-10, 1e30]]).astype(dtype)
    cases.expect(f"log1p {kind}", [{"log1p": {"columns": ["x"]}}], [column("x", values)], [column("x", np.log1p(values))], kind)
    values = random.normal(0, 3, 10).astype(dtype)
    cases.expect(f"clip {kind}", [{"clip": {"columns": ["x"], "min": -0.3, "max": 2.1}}],
                 [column("x", values)], [column("x", np.clip(values, -0.3, 2.1))], kind)
    bins = KBinsDiscretizer(n_bins=4, encode="ordinal", strategy="quantile", quantile_method="averaged_inverted_cdf").fit(random.normal(size=(50, 1)))
    edges = bins.bin_edges_[0]
    values = np.concatenate([random.normal(size=8), edges]).astype(dtype)
    cases.expect(f"bin {kind}", [{"bin": {"column": "x", "edges": edges.tolist()}}],
                 [column("x", values)], [column("x", bins.transform(values[:, None])[:, 0].astype(dtype))], kind)
cases.expect("log1p integers", [{"log1p": {"columns": ["x"]}}], [column("x", [0, 1, 99])], [column("x", np.log1p([0, 1, 99]))])
cases.expect("log1p keeps NaN", [{"log1p": {"columns": ["x"], "missing": "keep"}}], [column("x", [nan, 1.0])],
             [column("x", np.log1p([nan, 1.0]))])
cases.expect("clip integers to one side", [{"clip": {"columns": ["x"], "max": 9}}], [column("x", np.array([3, 200, 9], np.uint8))],
             [column("x", np.array([3, 9, 9], np.uint8))])
cases.expect("clip keeps NaN and moves infinities", [{"clip": {"columns": ["x"], "min": -1, "max": 1, "missing": "keep"}}],
             [column("x", [nan, np.inf, -np.inf])], [column("x", np.clip([nan, np.inf, -np.inf], -1, 1))])

# Cast
values = np.array([0, 1, 255, 17, 128])
for kind, dtype in [("u8", np.uint8), ("i16", np.int16), ("i32", np.int32), ("f16", np.float16), ("f32", np.float32), ("f64", np.float64)]:
    cases.expect(f"cast i64 to {kind} and back", [{"cast": {"columns": ["x"], "dtype": kind}}],
                 [column("x", values)], [column("x", values.astype(dtype))])
    cases.expect(f"cast {kind} to i64", [{"cast": {"columns": ["x"], "dtype": "i64"}}],
                 [column("x", values.astype(dtype))], [column("x", values)])
values = np.concatenate([random.normal(size=40), random.normal(size=20) * 1e-5, random.normal(size=20) * 1e-7,
                         [65504.0, 65519.99, -0.0, 5e-8, 2.98e-8, 1.00048828125, 1.000488281250001, 6.1e-5, np.inf]])
cases.expect("cast f64 to f16 rounds once, to even", [{"cast": {"columns": ["x"], "dtype": "f16"}}],
             [column("x", values)], [column("x", values.astype(np.float16))])
cases.expect("cast f64 to f32 rounds", [{"cast": {"columns": ["x"], "dtype": "f32"}}],
             [column("x", values)], [column("x", values.astype(np.float32))], "f32")
cases.expect("cast keeps NaN", [{"cast": {"columns": ["x"], "dtype": "f32", "missing": "keep"}}],
             [column("x", [nan, 1.5])], [column("x", np.array([nan, 1.5], np.float32))], "f32")
texts = ["12", "-0.5", "1e3", " 7 ", "0.1"]
cases.expect("cast text to f64", [{"cast": {"columns": ["x"], "dtype": "f64"}}], [column("x", texts)],
             [column("x", np.array(texts).astype(np.float64))])
cases.expect("cast missing text to NaN", [{"cast": {"columns": ["x"], "dtype": "f32", "missing": "keep"}}],
             [column("x", ["2.5", None])], [column("x", np.array([2.5, nan], np.float32))])
cases.expect("cast numbers to text", [{"cast": {"columns": ["x", "y"], "dtype": "string"}}],
             [column("x", [1.0, 0.1, -2.5]), column("y", [3, -4, 5])],
             [column("x", np.array([1.0, 0.1, -2.5]).astype(str)), column("y", np.array([3, -4, 5]).astype(str))])

# Choosing and stacking
x, y, z = np.arange(3.0), np.arange(3) + 10, np.array([[1, 2], [3, 4], [5, 6]], np.float32)
columns = [column("x", x), column("y", y), column("z", z)]
cases.expect("select chooses and orders", [{"select": {"columns": ["z", "x"]}}], columns, [column("z", z), column("x", x)])
cases.expect("rename swaps", [{"rename": {"columns": {"x": "y", "y": "x"}}}], columns,
             [column("y", x), column("x", y), column("z", z)])
cases.expect("drop leaves the others in order", [{"drop": {"columns": ["y"]}}], columns, [column("x", x), column("z", z)])
stacked = np.column_stack([z, x, y])
for kind, dtype in [("f32", np.float32), ("f64", np.float64), ("i64", np.int64)]:
    cases.expect(f"stack to {kind}", [{"stack": {"columns": ["z", "x", "y"], "name": "features", "dtype": kind}}],
                 columns, [column("features", stacked.astype(dtype))])
tall = random.normal(size=(600, 3)).astype(np.float32)
cases.expect("stack more rows than a block",
             [{"stack": {"columns": ["c", "a", "b"], "name": "a"}}], split(names, tall), [column("a", tall[:, [2, 0, 1]])], "f32")
cases.expect("stack no rows", [{"stack": {"columns": ["x", "z"], "name": "f"}}],
             [column("x", x[:0]), column("z", z[:0])], [column("f", np.zeros((0, 3), np.float32))])
cases.expect("stack one column beside others", [{"stack": {"columns": ["x"], "name": "x", "dtype": "f64"}}], columns,
             [column("y", y), column("z", z), column("x", x[:, None])])

# A whole pipeline, as a column transformer would do it.
rows = 20
age = random.integers(18, 90, rows).astype(np.float64)
age[[2, 9]] = nan
plan = random.choice(["basic", "pro", "équipe"], rows).astype(object)
imputer = SimpleImputer().fit(age[:, None])
scaler = StandardScaler().fit(imputer.transform(age[:, None]))
encoder = OneHotEncoder(sparse_output=False).fit(plan[:, None])
expected = np.hstack([scaler.transform(imputer.transform(age[:, None])), encoder.transform(plan[:, None])])
cases.expect("impute, standardise, one-hot, stack",
             [{"impute": {"columns": ["age"], "values": imputer.statistics_.tolist()}},
              {"standardise": {"columns": ["age"], "mean": scaler.mean_.tolist(), "scale": scaler.scale_.tolist()}},
              {"one-hot": {"column": "plan", "categories": encoder.categories_[0].tolist()}},
              {"stack": {"columns": ["age", "plan"], "name": "features"}}],
             [column("age", age), column("plan", plan)], [column("features", expected.astype(np.float32))], "f32")

cases.write(__file__)
