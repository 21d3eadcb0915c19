"""Makes `models/operators.bin`, graphs of one operator each, and what ONNX Runtime answers: python3 make_operators.py

Needs numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1. Seeded: run twice, the same files. `answers/operators.json`:
{"runs": [{"title", "length", "inputs": [tensor], "outputs": [tensor]}]}, a graph's `length` in the stream of all; where
ONNX Runtime refuses, there are no `outputs`, and this engine has to refuse as well. Dtypes that ONNX Runtime lacks are left out.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
RANDOM = np.random.default_rng(20250302)
ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"
ORT_DTYPES = {
    "tensor(float)": TensorProto.FLOAT, "tensor(double)": TensorProto.DOUBLE, "tensor(int64)": TensorProto.INT64,
    "tensor(int32)": TensorProto.INT32, "tensor(string)": TensorProto.STRING, "tensor(bool)": TensorProto.BOOL,
    "tensor(int16)": TensorProto.INT16,
}
NAMES = {"object": "string", "float32": "f32", "float64": "f64", "int64": "i64", "int32": "i32", "int16": "i16", "bool": "bool"}
runs, stream = [], b""


def onnx_dtype(array):
    return TensorProto.STRING if array.dtype == object else helper.np_dtype_to_tensor_dtype(array.dtype)


def tensor(name, array):
    dtype = NAMES[str(array.dtype)]
    values = array.ravel().tolist()
    if dtype.startswith("f"):
        values = [float(str(v)) if np.isfinite(v) else str(v) for v in array.ravel()]
    return {"name": name, "dtype": dtype, "shape": list(array.shape), "values": values}


def case(title, op, inputs, outputs=1, domain="", version=None, fixed=(), open_dims=True, keys=None, **attributes):
    """`fixed`: further inputs, whose values stand in the file. `keys`: the dtype of the keys of maps that come out."""
    global stream
    inputs = [np.asarray(i) for i in inputs]
    inputs = [i.astype(object) if i.dtype.kind in "US" else i for i in inputs]
    names, constants = [f"x{i}" for i in range(len(inputs))], [f"w{i}" for i in range(len(fixed))]
    outs = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names + constants, outs, name=op, domain=domain, **attributes)
    shape = lambda name, array: ["N" + name if d == 0 and open_dims else n for d, n in enumerate(array.shape)]
    declared = [helper.make_tensor_value_info(n, onnx_dtype(a), shape(n, a)) for n, a in zip(names, inputs)]
    made = [onnx.ValueInfoProto(name=name) for name in outs]
    if keys:
        scores = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
        made = [helper.make_value_info(outs[0], helper.make_sequence_type_proto(helper.make_map_type_proto(keys, scores)))]
    tensors = [numpy_helper.from_array(np.asarray(w), n) for n, w in zip(constants, fixed)]
    graph = helper.make_graph([node], "graph", declared, made, tensors)
    opsets = [helper.make_opsetid("", version if not domain and version else 21)]
    opsets.append(helper.make_opsetid(ML, version if domain == ML and version else 3))
    opsets.append(helper.make_opsetid(MICROSOFT, 1))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="make_operators")
    run = {"title": title, "inputs": [tensor(n, a) for n, a in zip(names, inputs)]}
    answers = []
    try:
        session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        if not keys:
            # The file declares what ONNX Runtime infers.
            for output, info in zip(model.graph.output, session.get_outputs()):
                output.CopyFrom(helper.make_tensor_value_info(info.name, ORT_DTYPES[info.type], None))
        answers = session.run(None, dict(zip(names, inputs)))
        answers = [np.array([list(row.values()) for row in a], np.float32) if keys else np.asarray(a) for a in answers]
        run["outputs"] = [tensor(n, a) for n, a in zip(outs, answers)]
    except Exception as refusal:
        print(f"{title}: refused, {str(refusal).strip()[-130:]!r}")
        if "NOT_IMPLEMENTED" in str(refusal):
            return
        for output in model.graph.output:
            if not output.HasField("type"):
                output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None))
    data = model.SerializeToString()
    run["length"] = len(data)
    stream += data
    runs.append(run)


def ml(title, op, inputs, outputs=1, version=None, **attributes):
    case(f"{op}, {title}", op, inputs, outputs, ML, version, **attributes)


def of(*values, dtype=np.float32):
    return np.array(values, dtype)


NAN, INF = np.nan, np.inf
ODD = of([NAN, 1.0, -2.5, 0.0], [INF, -INF, 3.5, -0.0], [1e30, -1e-30, 2.0, 4.0])
WHOLE = of([3, -1, 0, 7], [2, 2, 9, -4], dtype=np.int64)
WORDS = np.array([["a", "b", ""], ["Grüße", "a", "zz"]], dtype=object)

# Columns.
for kind, x in [("f32", ODD), ("f64", ODD.astype(np.float64)), ("i64", WHOLE), ("i32", WHOLE.astype(np.int32)), ("string", WORDS)]:
    ml(kind, "ArrayFeatureExtractor", [x, of(2, 0, 2, dtype=np.int64)])
ml("one row", "ArrayFeatureExtractor", [ODD[0], of(1, dtype=np.int64)])
ml("rank 3", "ArrayFeatureExtractor", [ODD.reshape(3, 2, 2), of([1, 0], dtype=np.int64)])
ml("beyond", "ArrayFeatureExtractor", [ODD, of(4, dtype=np.int64)])
ml("negative", "ArrayFeatureExtractor", [ODD, of(-1, dtype=np.int64)])
for threshold in (0.0, 2.0, -0.5):
    ml(f"threshold {threshold}", "Binarizer", [ODD[1:]], threshold=threshold)
ml("default", "Binarizer", [ODD[1:]])
ml("NaN", "Binarizer", [ODD])
ml("f32", "FeatureVectorizer", [ODD, ODD[:, :2]], inputdimensions=[4, 2])
ml("cut and padded", "FeatureVectorizer", [ODD, ODD[:, :2]], inputdimensions=[3, 4])
for kind in (np.float64, np.int64, np.int32):
    ml(np.dtype(kind).name, "FeatureVectorizer", [WHOLE.astype(kind), WHOLE[:, :1].astype(kind)], inputdimensions=[4, 1])
ml("rows of rank 1", "FeatureVectorizer", [ODD[0], ODD[1]], inputdimensions=[4, 4], open_dims=False)
ml("NaN, one for each", "Imputer", [ODD], imputed_value_floats=[1.0, 2.0, 3.0, 4.0], replaced_value_float=NAN)
ml("NaN, one for all", "Imputer", [ODD], imputed_value_floats=[9.5], replaced_value_float=NAN)
ml("zero", "Imputer", [ODD], imputed_value_floats=[9.5])
ml("infinity", "Imputer", [ODD], imputed_value_floats=[9.5], replaced_value_float=INF)
ml("too few", "Imputer", [ODD], imputed_value_floats=[7.0, 8.0], replaced_value_float=NAN)
ml("i64", "Imputer", [WHOLE], imputed_value_int64s=[5, 6, 7, 8], replaced_value_int64=2)
ml("one row", "Imputer", [ODD[0]], imputed_value_floats=[1.0, 2.0, 3.0, 4.0], replaced_value_float=NAN, open_dims=False)
ml("neither", "Imputer", [ODD])
for norm in ("MAX", "L1", "L2"):
    finite = of([3, -4, 0, 1], [0, 0, 0, 0], [-1, -2, -3, -4], [1e-10, 0, 0, 1e10])
    for kind in (np.float32, np.float64, np.int64, np.int32):
        x = finite if np.issubdtype(kind, np.floating) else finite[:3]
        ml(f"{norm} {np.dtype(kind).name}", "Normalizer", [x.astype(kind)], norm=norm)
    ml(f"{norm} odd", "Normalizer", [np.clip(ODD, -1e10, 1e10) if norm == "L2" else ODD], norm=norm)
    ml(f"{norm} one row", "Normalizer", [finite[0]], norm=norm, open_dims=False)
    ml(f"{norm} rank 3", "Normalizer", [finite.reshape(2, 4, 2)], norm=norm)
for kind, x in [("f32", ODD), ("f64", ODD.astype(np.float64)), ("i64", WHOLE), ("i32", WHOLE.astype(np.int32))]:
    ml(f"{kind}, one for each", "Scaler", [x], offset=[1.0, 2.0, 3.0, 4.0], scale=[0.5, 2.0, -1.0, 0.0])
    ml(f"{kind}, one for all", "Scaler", [x], offset=[1.5], scale=[0.25])
ml("one row", "Scaler", [ODD[0]], offset=[1.0, 2.0, 3.0, 4.0], scale=[0.5, 2.0, -1.0, 0.0], open_dims=False)
ml("offset alone", "Scaler", [ODD], offset=[1.0], scale=[1.0])
ml("numbers", "ZipMap", [of([0.1, 0.9], [NAN, 2.0])], keys=TensorProto.INT64, classlabels_int64s=[3, 5])
ml("strings", "ZipMap", [of([0.1, 0.9], [0.5, 0.5])], keys=TensorProto.STRING, classlabels_strings=["no", "yes"])

# Categories.
for title, x in [("strings", WORDS), ("numbers", WHOLE)]:
    ml(title, "CategoryMapper", [x], cats_strings=["a", "zz", "a"], cats_int64s=[7, 2, 0])
    ml(f"{title}, defaults", "CategoryMapper", [x], cats_strings=["a", "zz"], cats_int64s=[7, 2], default_string="?", default_int64=-9)
    ml(f"{title}, version 1", "LabelEncoder", [x], version=1, classes_strings=["zz", "a", "b", "Grüße"])
    ml(f"{title}, version 1, defaults", "LabelEncoder", [x], version=1, classes_strings=["a"], default_string="?", default_int64=-9)
KEYS = {"strings": ["a", "Grüße", "", "a"], "int64s": [3, 2, -4, 3], "floats": [NAN, 3.5, 0.0, NAN]}
VALUES = {"strings": ["one", "two", "", "four"], "int64s": [1, -2, 0, 4], "floats": [0.5, NAN, -0.0, 4.0]}
DEFAULTS = {"strings": ("default_string", "?"), "int64s": ("default_int64", -7), "floats": ("default_float", 1.5)}
GIVEN = {"strings": WORDS, "int64s": WHOLE, "floats": ODD}
for keys in KEYS:
    for values in VALUES:
        attributes = {f"keys_{keys}": KEYS[keys], f"values_{values}": VALUES[values]}
        ml(f"{keys} to {values}", "LabelEncoder", [GIVEN[keys]], version=2, **attributes)
        name, default = DEFAULTS[values]
        ml(f"{keys} to {values}, default", "LabelEncoder", [GIVEN[keys]], version=4, **attributes, **{name: default})
for keys, values in [(np.float64, np.float64), (np.float64, np.int64), (np.int64, np.float64), (np.int64, np.int64), (np.float32, np.float32), (np.float64, object), (object, np.float64), (object, np.int16), (object, np.int64)]:
    numbers = lambda kind: np.array(["a", "zz", "b"], dtype=object) if kind is object else np.array([3, 2, 0]).astype(kind)
    attribute = lambda name, array: numpy_helper.from_array(array, name)
    x = WORDS if keys is object else WHOLE.astype(keys)
    kinds = f"tensors {np.dtype(keys).name} to {np.dtype(values).name}"
    default = np.array(["?"], dtype=object) if values is object else np.array([77], dtype=values)
    ml(f"{kinds}, default", "LabelEncoder", [x], version=4, keys_tensor=attribute("k", numbers(keys)), values_tensor=attribute("v", numbers(values)), default_tensor=attribute("d", default))
    ml(kinds, "LabelEncoder", [x], version=4, keys_tensor=attribute("k", numbers(keys)), values_tensor=attribute("v", numbers(values)))
ml("other keys", "LabelEncoder", [WHOLE], version=2, keys_strings=["a"], values_int64s=[1])
ml("fewer values", "LabelEncoder", [WORDS], version=2, keys_strings=["a", "b"], values_int64s=[1])
for kind, x in [("f32", of([3.0, 2.9, -1.0, 99.0])), ("f64", of([3.0, 2.9, -1.0, 99.0], dtype=np.float64)), ("i64", WHOLE), ("i32", WHOLE.astype(np.int32))]:
    ml(kind, "OneHotEncoder", [x], cats_int64s=[3, 2, -1, 0])
    ml(f"{kind}, strict", "OneHotEncoder", [x], cats_int64s=[3, 2, -1, 0], zeros=0)
ml("strings", "OneHotEncoder", [WORDS], cats_strings=["a", "zz", "Grüße"])
ml("strings, strict", "OneHotEncoder", [WORDS], cats_strings=["a", "zz", "Grüße"], zeros=0)
ml("strings, rank 1", "OneHotEncoder", [WORDS[0]], cats_strings=["a", "zz"])
ml("twice the same", "OneHotEncoder", [WORDS], cats_strings=["a", "zz", "a"])

# Linear models and support vectors.
rows = RANDOM.standard_normal((5, 3)).astype(np.float32)
gap = rows.copy()
gap[0, 1], gap[1, 2] = NAN, INF
TRANSFORMS = ("NONE", "SOFTMAX", "SOFTMAX_ZERO", "LOGISTIC", "PROBIT")
for transform in TRANSFORMS:
    for targets in (1, 3):
        weights = RANDOM.standard_normal(3 * targets).round(3).tolist()
        ml(f"{targets} targets, {transform}", "LinearRegressor", [np.abs(rows) / 8], coefficients=np.abs(weights).tolist(), intercepts=[0.1] * targets, targets=targets, post_transform=transform)
ml("no intercepts, odd", "LinearRegressor", [gap], coefficients=[0.5, -1.0, 2.0], targets=1)
for kind in (np.float64, np.int64, np.int32):
    ml(np.dtype(kind).name, "LinearClassifier", [(rows * 4).astype(kind)], 2, coefficients=[0.5, -1.0, 2.0, 1.0, 1.0, -1.0, 0.0, 0.5, 0.5], intercepts=[0.1, 0.2, 0.3], classlabels_ints=[4, 5, 6], multi_class=1, post_transform="SOFTMAX")
ml("odd", "LinearClassifier", [gap], 2, coefficients=[0.5, -1.0, 2.0, 1.0, 1.0, -1.0, 0.0, 0.5, 0.5], intercepts=[0.1, 0.2, 0.3], classlabels_strings=["a", "b", "c"])
vectors = RANDOM.standard_normal((7, 3)).round(3)
KERNELS = [("LINEAR", [0.0, 0.0, 3.0]), ("POLY", [0.5, 1.0, 3.0]), ("POLY", [0.5, -0.2, 2.0]), ("RBF", [0.7, 0.0, 3.0]), ("SIGMOID", [0.3, 0.1, 3.0])]
for kernel, params in KERNELS:
    for classes, counts in ((2, [3, 4]), (3, [2, 3, 2])):
        pairs = classes * (classes - 1) // 2
        attributes = dict(
            kernel_type=kernel, kernel_params=params, support_vectors=vectors.ravel().tolist(), vectors_per_class=counts,
            coefficients=RANDOM.standard_normal(7 * (classes - 1)).round(3).tolist(), rho=RANDOM.standard_normal(pairs).round(3).tolist(),
        )
        labels = {"classlabels_ints": [4, 2, 9][:classes]} if kernel != "RBF" else {"classlabels_strings": ["x", "y", "z"][:classes]}
        ml(f"{kernel}, {classes} classes", "SVMClassifier", [rows], 2, **attributes, **labels)
        platt = dict(prob_a=(-np.abs(RANDOM.standard_normal(pairs))).round(3).tolist(), prob_b=RANDOM.standard_normal(pairs).round(3).tolist())
        ml(f"{kernel}, {classes} classes, probabilities", "SVMClassifier", [rows], 2, **attributes, **labels, **platt)
        if kernel == "RBF":
            for transform in TRANSFORMS[1:]:
                # ONNX Runtime leaves the second of two scores unset with PROBIT.
                if (classes, transform) != (2, "PROBIT"):
                    ml(f"{classes} classes, {transform}", "SVMClassifier", [rows], 2, **attributes, **labels, post_transform=transform)
                ml(f"{classes} classes, probabilities, {transform}", "SVMClassifier", [rows], 2, **attributes, **labels, **platt, post_transform=transform)
            ml(f"{classes} classes, odd", "SVMClassifier", [gap], 2, **attributes, **labels)
            positive = {**attributes, "coefficients": np.abs(attributes["coefficients"]).tolist()}
            ml(f"{classes} classes, all positive", "SVMClassifier", [rows], 2, **positive, **labels)
            for kind in (np.float64, np.int64, np.int32):
                ml(f"{classes} classes, {np.dtype(kind).name}", "SVMClassifier", [(rows * 3).astype(kind)], 2, **attributes, **labels)
    ml(kernel, "SVMRegressor", [rows], kernel_type=kernel, kernel_params=params, support_vectors=vectors.ravel().tolist(), n_supports=7, coefficients=RANDOM.standard_normal(7).round(3).tolist(), rho=[0.25])
    ml(f"{kernel}, one class", "SVMRegressor", [rows], kernel_type=kernel, kernel_params=params, support_vectors=vectors.ravel().tolist(), n_supports=7, coefficients=RANDOM.standard_normal(7).round(3).tolist(), rho=[0.25], one_class=1)
for classes in (2, 3):
    for sign in ("mixed", "positive"):
        weights = RANDOM.standard_normal(3 * classes).round(3)
        weights = (np.abs(weights) if sign == "positive" else weights).tolist()
        for transform in TRANSFORMS[:4]:
            ml(f"liblinear, {classes} classes, {sign}, {transform}", "SVMClassifier", [rows], 2, coefficients=weights, rho=[0.1], kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0], classlabels_ints=[4, 2, 9][:classes], post_transform=transform)
ml("liblinear", "SVMRegressor", [rows], coefficients=[0.5, -1.0, 2.0], rho=[0.1], n_supports=0, kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0])
ml("other width", "SVMRegressor", [rows[:, :2]], coefficients=[0.5, -1.0, 2.0], rho=[0.1], n_supports=0, kernel_type="LINEAR", kernel_params=[0.0, 0.0, 0.0])

# Text.
TALK = np.array(["The Cat", "the", "DOG", "ÄÖ ß", "", "cat"], dtype=object)
for action in ("NONE", "LOWER", "UPPER"):
    case(f"StringNormalizer, {action}", "StringNormalizer", [TALK], case_change_action=action, locale="C.UTF-8")
    for sensitive in (0, 1):
        case(f"StringNormalizer, {action}, stopwords, {sensitive}", "StringNormalizer", [TALK], case_change_action=action, is_case_sensitive=sensitive, stopwords=["THE", "dog", "cat"], locale="C.UTF-8")
case("StringNormalizer, one row", "StringNormalizer", [TALK.reshape(1, -1)], case_change_action="LOWER", stopwords=["dog"], locale="C.UTF-8", open_dims=False)
case("StringNormalizer, none left", "StringNormalizer", [TALK[:2]], stopwords=["the", "the cat"], is_case_sensitive=0, locale="C.UTF-8")
case("StringNormalizer, two rows", "StringNormalizer", [WORDS], case_change_action="LOWER", locale="C.UTF-8")
case("StringConcat", "StringConcat", [WORDS, WORDS])
case("StringConcat, broadcast", "StringConcat", [WORDS, np.array(["x", "", "é"], dtype=object)], open_dims=False)
case("StringConcat, scalar", "StringConcat", [WORDS, np.array("-", dtype=object)], open_dims=False)
LINES = np.array(["a,b,c", "", "no", " lead,  and trail ", "a,,b", "\ttab\nline"], dtype=object)
# Without a delimiter, ONNX Runtime splits at spaces alone and trims; the specification says white space.
for most in (None, 0, 1, 2):
    attributes = {} if most is None else {"maxsplit": most}
    case(f"StringSplit, white space, {most}", "StringSplit", [np.array([" lead,  and trail", "", "no"], dtype=object)], 2, **attributes)
for delimiter in (",", ", "):
    for most in (None, 0, 1, 2):
        attributes = {k: v for k, v in (("delimiter", delimiter), ("maxsplit", most)) if v is not None}
        case(f"StringSplit, {delimiter!r}, {most}", "StringSplit", [LINES], 2, **attributes)
case("StringSplit, rank 2", "StringSplit", [LINES.reshape(2, 3)], 2, delimiter=",")
for pattern in (r"[a-z]+", r"\w+", r"a|ab", r"(?i)THE CAT", r".*", r"\d{2}", "[[:alpha:] ]+", r"\S*", r"[\w ]+", r"[^\s]*", r"\p{L}*"):
    case(f"RegexFullMatch, {pattern}", "RegexFullMatch", [np.concatenate([TALK, ["ab", "12", "a\nb", "x_1"]]).astype(object)], pattern=pattern)
case("RegexFullMatch, no pattern", "RegexFullMatch", [TALK], pattern="(")


def tokenizer(title, texts, mark=0, mincharnum=1, **attributes):
    case(f"Tokenizer, {title}", "Tokenizer", [np.array(texts, dtype=object)], domain=MICROSOFT, mark=mark, mincharnum=mincharnum, pad_value="#", **attributes)


SPOKEN = ["The cat, sat on a mat.", "", "Grüße aus Köln!", "a b c d", "don't_x 12"]
for mark in (0, 1):
    for expression in ("[a-zA-Z0-9_]+", r"\w\w+", ".", r"[^ ]+"):
        for shortest in (1, 2, 4):
            tokenizer(f"{expression}, {mark}, {shortest}", SPOKEN, mark, shortest, tokenexp=expression)
    for separators in ([" "], [" ", ","], [",", " "], ["[ ,.]+"], ["a", "t"], ["the "]):
        for shortest in (1, 2):
            tokenizer(f"{separators}, {mark}, {shortest}", SPOKEN, mark, shortest, separators=separators)
    tokenizer(f"letters, {mark}", SPOKEN, mark, separators=[""])
    tokenizer(f"nothing, {mark}", ["", ""], mark, tokenexp="[a-z]+")
    tokenizer(f"letters of nothing, {mark}", ["", ""], mark, separators=[""])
tokenizer("rank 2", [["a b", "c"], ["", "d e f"]], separators=[" "])
grams = dict(ngram_counts=[0, 4], ngram_indexes=[0, 1, 2, 3, 4, 5, 6])
numbers = dict(pool_int64s=[2, 3, 5, 4, 5, 6, 7, 8, 6, 7], **grams)
spoken = dict(pool_strings=["b", "c", "e", "d", "e", "f", "g", "h", "f", "g"], **grams)
letters = np.array([list("bbccdefg"), list("hegfehfg")], dtype=object)
figures = of([1, 1, 3, 3, 3, 7, 8, 6], [8, 6, 7, 5, 6, 8, 7, 7], dtype=np.int64)
for mode in ("TF", "IDF", "TFIDF"):
    for low, high in ((1, 1), (2, 2), (1, 2)):
        for skips in (0, 1, 5):
            limits = dict(mode=mode, min_gram_length=low, max_gram_length=high, max_skip_count=skips)
            weights = {"weights": [2.0, 2.0, 3.0, 1.0, 0.5, 3.0, 0.0]} if skips != 1 else {}
            title = f"TfIdfVectorizer, {mode}, {low} to {high}, {skips} skips"
            case(title, "TfIdfVectorizer", [figures], **limits, **numbers, **weights)
            case(f"{title}, strings", "TfIdfVectorizer", [letters], **limits, **spoken, **weights)
limits = dict(mode="TF", min_gram_length=1, max_gram_length=2, max_skip_count=0)
case("TfIdfVectorizer, one row", "TfIdfVectorizer", [letters[0]], **limits, **spoken)
case("TfIdfVectorizer, i32", "TfIdfVectorizer", [figures.astype(np.int32)], **limits, **numbers)
case("TfIdfVectorizer, no words", "TfIdfVectorizer", [np.empty((2, 0), dtype=object)], **limits, **spoken)

# Strings in operators of all dtypes.
FIGURES = of(NAN, INF, -INF, 0.0, -0.0, 1.0, -2.5, 1e10, 123456789.0, 1e-5, 0.1, 3.4e38, 1e-45, 100000.0, 12345678.0)
case("Cast, f32 to strings", "Cast", [FIGURES], to=TensorProto.STRING)
case("Cast, f64 to strings", "Cast", [np.concatenate([FIGURES.astype(np.float64), [0.1, 1 / 3, 1e300]])], to=TensorProto.STRING)
for kind in (np.int64, np.int32, np.int16):
    case(f"Cast, {np.dtype(kind).name} to strings", "Cast", [WHOLE.astype(kind)], to=TensorProto.STRING)
case("Cast, bool to strings", "Cast", [of(True, False, dtype=bool)], to=TensorProto.STRING)
written = np.array(["1", "-2.5", "1e3", "NaN", "nan", "inf", "-INF", "0x10"][:7], dtype=object)
for to in (TensorProto.FLOAT, TensorProto.DOUBLE):
    case(f"Cast, strings to {to}", "Cast", [written], to=to)
for to in (TensorProto.INT64, TensorProto.INT32, TensorProto.INT16):
    case(f"Cast, strings to {to}", "Cast", [np.array(["1", "-25", "+7", " 3"], dtype=object)], to=to)
case("Cast, words to a number", "Cast", [np.array(["one"], dtype=object)], to=TensorProto.INT64)
case("Cast, nothing to a number", "Cast", [np.array([""], dtype=object)], to=TensorProto.FLOAT)
case("Cast, strings to strings", "Cast", [WORDS], to=TensorProto.STRING)
case("Cast, large i64 through f64", "Cast", [of(3e10, -1e15, 5.9, dtype=np.float64)], to=TensorProto.INT64)
case("Cast, f32 to i64", "Cast", [of(2.5, -2.5, 3e9)], to=TensorProto.INT64)
two = lambda values: np.array(values, np.int64)
case("Concat, strings", "Concat", [WORDS, WORDS[:, :1]], axis=1)
case("Gather, strings", "Gather", [WORDS, two([1, 0, 1])], axis=1)
case("GatherElements, strings", "GatherElements", [WORDS, two([[1, 0], [2, 2]])], axis=1)
case("Where, strings", "Where", [of([True, False, True], dtype=bool), WORDS, np.array(["else"], dtype=object)], open_dims=False)
case("Equal, strings", "Equal", [WORDS, np.array(["a"], dtype=object)], open_dims=False)
case("Unsqueeze, strings", "Unsqueeze", [WORDS], fixed=[two([1])])
case("Squeeze, strings", "Squeeze", [WORDS[:, :1]], fixed=[two([1])])
case("Reshape, strings", "Reshape", [WORDS], fixed=[two([3, 2])], open_dims=False)
case("Flatten, strings", "Flatten", [WORDS.reshape(2, 3, 1)], axis=1)
case("Transpose, strings", "Transpose", [WORDS], perm=[1, 0])
case("Slice, strings", "Slice", [WORDS], fixed=[two([1]), two([3]), two([1])])
case("Split, strings", "Split", [WORDS], 2, axis=1, fixed=[two([1, 2])])
case("Expand, strings", "Expand", [WORDS[:, :1]], fixed=[two([2, 4])], open_dims=False)
case("Identity, strings", "Identity", [WORDS])
case("Shape, strings", "Shape", [WORDS])

# Doubles and whole numbers where tract knew floats.
table = RANDOM.standard_normal((4, 3))
square = RANDOM.standard_normal((3, 2))
for kind in (np.float64, np.float32):
    name = np.dtype(kind).name
    case(f"Gemm, {name}", "Gemm", [table.astype(kind)], fixed=[square.astype(kind), np.ones(2, kind)], alpha=0.5, beta=2.0)
    case(f"Gemm, {name}, transposed", "Gemm", [table.astype(kind)], fixed=[square.T.astype(kind).copy()], transB=1, alpha=-1.0)
    case(f"Gemm, {name}, A transposed", "Gemm", [table.T.astype(kind).copy()], fixed=[table.astype(kind)], transA=0, open_dims=False)
    case(f"MatMul, {name}", "MatMul", [table.astype(kind)], fixed=[square.astype(kind)])
    for metric in ("euclidean", "sqeuclidean"):
        case(f"CDist, {name}, {metric}", "CDist", [table.astype(kind)], domain=MICROSOFT, fixed=[RANDOM.standard_normal((2, 3)).astype(kind)], metric=metric)
    for op in ("ReduceSumSquare", "ReduceSum", "ReduceMean", "ReduceLogSumExp", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2"):
        case(f"{op}, {name}", op, [table.astype(kind)], fixed=[two([1])], keepdims=1)
    for op in ("Exp", "Log", "Sqrt", "Abs", "Neg", "Sign", "Floor", "Ceil", "Sigmoid", "Tanh", "Erf", "Reciprocal", "IsNaN", "Softplus", "Relu"):
        case(f"{op}, {name}", op, [np.concatenate([np.abs(table), [[0.5, 1.0, NAN if op in ("IsNaN", "Abs", "Sqrt") else 0.0]]]).astype(kind)])
    case(f"Softmax, {name}", "Softmax", [table.astype(kind)], axis=1)
    case(f"CumSum, {name}", "CumSum", [table.astype(kind)], fixed=[np.array(1, np.int64)])
    case(f"Clip, {name}", "Clip", [table.astype(kind)], fixed=[np.array(-0.5, kind), np.array(0.5, kind)])
    case(f"Pow, {name}", "Pow", [np.abs(table).astype(kind)], fixed=[np.array(1.5, kind)])
ties = of([3, 1, 3, 2], [0, 0, -1, 5])
for kind in (np.float32, np.float64, np.int64, np.int32):
    name = np.dtype(kind).name
    for largest in (0, 1):
        case(f"TopK, {name}, {largest}", "TopK", [ties.astype(kind)], 2, fixed=[two([3])], axis=1, largest=largest, sorted=1)
    for op in ("ArgMin", "ArgMax"):
        case(f"{op}, {name}", op, [ties.astype(kind)], axis=1, keepdims=0)
        case(f"{op}, {name}, last", op, [ties.astype(kind)], axis=1, keepdims=1, select_last_index=1)
    case(f"Where, {name}", "Where", [of([True, False, True, False], dtype=bool), ties.astype(kind), ties[::-1].astype(kind).copy()], open_dims=False)

(HERE / "models" / "operators.bin").write_bytes(stream)
(HERE / "answers" / "operators.json").write_text(json.dumps({"runs": runs}, separators=(",", ":"), ensure_ascii=False) + "\n")
print(len(runs), "cases,", sum("outputs" not in run for run in runs), "refused,", len(stream), "bytes")
