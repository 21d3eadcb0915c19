"""Makes cases.jsonl for the result steps, with NumPy and SciPy as the reference.

    python3 make.py

Made with NumPy 2.4.6 and SciPy 1.17.1.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "table_golden"))
from golden import Cases, column  # noqa: E402

warnings.simplefilter("ignore")
random = np.random.default_rng(20240118)
cases = Cases()
nan, inf = float("nan"), float("inf")
LABELS = ["setosa", "versicolor", "virginica", "虹"]

for dtype, kind in [(np.float32, "f32"), (np.float64, "f64")]:
    for shape, axis in [((5, 4), -1), ((5, 4), 1), ((2, 4, 3, 5), 1), ((2, 4, 3, 5), -3), ((2, 4, 3, 5), -1), ((0, 4), 1),
                        ((1, 300), -1), ((3, 1), -1)]:
        scores = random.normal(0, 5, shape).astype(dtype)
        columns = [column("scores", scores)]
        cases.expect(f"softmax {kind} {shape} axis {axis}", [{"softmax": {"output": "scores", "axis": axis}}], columns,
                     [column("scores", softmax(scores, axis=axis) if scores.size else scores)], kind)
        cases.expect(f"argmax {kind} {shape} axis {axis}", [{"argmax": {"output": "scores", "axis": axis}}], columns,
                     [column("scores", np.argmax(scores, axis=axis))], kind)
    extreme = np.array([[1e30, 1e30, -1e30], [-1e30, 0, 0], [88.8, 800.0, 799.0], [-inf, 0.0, 1.0], [nan, 0, 1],
                        [inf, 0, 1], [-inf, -inf, -inf]], dtype=dtype)
    cases.expect(f"softmax {kind} of extremes", [{"softmax": {"output": "s"}}], [column("s", extreme)],
                 [column("s", softmax(extreme, axis=1))], kind)
    turned = np.ascontiguousarray(extreme[:, :, None].repeat(2, axis=2))
    cases.expect(f"softmax {kind} of extremes in planes", [{"softmax": {"output": "s", "axis": 1}}], [column("s", turned)],
                 [column("s", softmax(turned, axis=1))], kind)
    values = np.concatenate([random.normal(0, 10, 20), [0.0, -0.0, 90, -90, 1000, -1000, nan, inf, -inf]]).astype(dtype)
    cases.expect(f"sigmoid {kind}", [{"sigmoid": {"output": "s"}}], [column("s", values)], [column("s", expit(values))], kind)
    values = np.concatenate([random.normal(0, 10, 20), [0.125, 0.375, 2.5, 3.5, -0.5, nan, inf, 1e38]]).astype(dtype)
    for digits in [0, 2, 5]:
        expected = np.where(np.isfinite(np.round(values, digits)), np.round(values, digits), values)
        cases.expect(f"round {kind} to {digits}", [{"round": {"output": "s", "digits": digits}}], [column("s", values)],
                     [column("s", expected.astype(dtype))], kind)

    scores = softmax(random.normal(0, 2, (6, 4)), axis=1).astype(dtype)
    scores[2] = [0.25, 0.25, 0.25, 0.25]
    scores[3] = [0.1, 0.4, 0.4, 0.1]
    for k in [1, 2, 4]:
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        named = np.array(LABELS, dtype=object)[best]
        cases.expect(f"top-{k} {kind}", [{"top-k": {"output": "p", "k": k, "labels": LABELS}}], [column("p", scores)],
                     [column("p", scores), column("label", named), column("score", np.take_along_axis(scores, best, 1))], kind)
    cases.expect(f"top-k {kind} without labels", [{"top-k": {"output": "p", "k": 2, "label": "class", "score": "p2"}},
                                                  {"drop": {"columns": ["p"]}}], [column("p", scores)],
                 [column("class", np.argsort(-scores, axis=1, kind="stable")[:, :2]),
                  column("p2", -np.sort(-scores, axis=1)[:, :2])], kind)
    cases.expect(f"top-k {kind} no rows", [{"top-k": {"output": "p", "k": 2, "labels": LABELS}}], [column("p", scores[:0])],
                 [column("p", scores[:0]), column("label", np.zeros((0, 2), object), "string"), column("score", scores[:0, :2])], kind)
    cases.expect(f"probability-map {kind}", [{"probability-map": {"output": "p", "labels": LABELS, "prefix": "p."}}],
                 [column("a", np.arange(6)), column("p", scores), column("z", np.arange(6))],
                 [column("a", np.arange(6)), *[column("p." + label, scores[:, index].copy()) for index, label in enumerate(LABELS)],
                  column("z", np.arange(6))], kind)
    single = random.random(5).astype(dtype)
    for shape in [(5,), (5, 1)]:
        cases.expect(f"probability-map {kind} binary {shape}", [{"probability-map": {"output": "p", "labels": ["no", "yes"]}}],
                     [column("p", single.reshape(shape))], [column("no", 1 - single), column("yes", single)], kind)

    bounds = np.array([0.7, 0.69999, 0.70001, -inf, inf, 0.1], dtype=dtype)
    for sign, passes in [(">=", np.greater_equal), (">", np.greater), ("<=", np.less_equal), ("<", np.less)]:
        cases.expect(f"threshold {kind} {sign}", [{"threshold": {"output": "s", "at": 0.7, "passes": sign, "to": "yes"}}],
                     [column("s", bounds)], [column("s", bounds), column("yes", passes(bounds, dtype(0.7)))], kind)
    mask = random.random((2, 3, 4)).astype(dtype)
    cases.expect(f"threshold {kind} to a mask", [{"threshold": {"output": "m", "at": 0.5, "dtype": "u8"}}], [column("m", mask)],
                 [column("m", (mask >= 0.5).astype(np.uint8))], kind)
    classes = np.array([3, 0, 2]).astype(dtype)
    cases.expect(f"labels of {kind}", [{"labels": {"output": "c", "labels": LABELS}}], [column("c", classes)],
                 [column("c", [LABELS[3], LABELS[0], LABELS[2]])], kind)

half = random.normal(0, 3, (3, 4)).astype(np.float16)
cases.expect("softmax f16 becomes f32", [{"softmax": {"output": "s"}}], [column("s", half)],
             [column("s", softmax(half.astype(np.float32), axis=1))], "f32")
ties = np.array([[1, 3, 3], [2, 2, 2], [-inf, -inf, -inf], [-1, -0.0, 0.0]])
cases.expect("argmax takes the first of equals", [{"argmax": {"output": "s", "to": "c"}}], [column("s", ties)],
             [column("s", ties), column("c", np.argmax(ties, axis=1))])
logits = random.normal(0, 2, (4, 3))
best = np.argmax(logits, axis=1)
cases.expect("softmax, argmax, labels, round",
             [{"softmax": {"output": "logits"}}, {"argmax": {"output": "logits", "to": "class"}},
              {"labels": {"output": "class", "labels": LABELS[:3], "to": "label"}}, {"round": {"output": "logits", "digits": 4}},
              {"rename": {"columns": {"logits": "probability"}}}, {"select": {"columns": ["label", "probability"]}}],
             [column("logits", logits)],
             [column("label", np.array(LABELS, object)[best]), column("probability", np.round(softmax(logits, axis=1), 4))])
for kind, classes in [("i64", np.array([[0, 1], [2, 3]])), ("u8", np.array([1, 1], np.uint8)), ("bool", np.array([True, False]))]:
    cases.expect(f"labels of {kind}", [{"labels": {"output": "c", "labels": LABELS, "to": "l"}}], [column("c", classes)],
                 [column("c", classes), column("l", np.array(LABELS, object)[classes.astype(int)])])
cases.expect("round leaves integers", [{"round": {"output": "c", "digits": 2}}], [column("c", [7, 8])], [column("c", [7, 8])])

cases.write(__file__)
