"""Trains small boosters of every kind and writes their files and answers: `make.py xgboost|lightgbm|catboost [NAME…]`.

Each model becomes NAME.json, .ubj or .txt, and its rows and answers NAME.bin; `cases.json` lists them. Seeded: the same
versions write the same bytes. Versions: xgboost 3.2.0 (and, to write old formats, 1.7.6 with numpy 1.26, and 2.1.4, by
`make.py old`), lightgbm 4.7.0, catboost 1.2.10, numpy 2.4.6, pandas 3.0.3, scikit-learn 1.9.1.

A .bin holds, little-endian: rows u32, features u32, the rows (f32, LightGBM's f64), scores per row u32, the raw scores
(f32, others' f64), numbers per prediction u32, the predictions (likewise).
"""

import json
import os
import struct
import sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SEED = 7
ROWS = 400
FEATURES = 6


def data(seed, features=FEATURES, missing=0.1):
    """Training rows with gaps, and what they should become."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, features)).astype(np.float32)
    # Few values in one column, so that rows lie on thresholds.
    x[:, 1] = np.round(x[:, 1] * 4) / 4
    score = x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=ROWS)
    x[rng.random(x.shape) < missing] = np.nan
    return x, score.astype(np.float32), rng


def hard_rows(x, thresholds, seed=SEED, infinite=True):
    """Some training rows; rows on, right below and right above thresholds; missing, infinite and tiny values."""
    rng = np.random.default_rng(seed)
    dtype = x.dtype
    rows = [x[i] for i in range(24)]
    for feature, threshold in thresholds[:24]:
        for value in (threshold, np.nextafter(dtype.type(threshold), dtype.type(-np.inf)),
                      np.nextafter(dtype.type(threshold), dtype.type(np.inf))):
            row = x[rng.integers(len(x))].copy()
            row[feature] = value
            rows.append(row)
    special = [np.nan, 0.0, -0.0, 1e-40, -1e-40, 1e-36, -1e-36, 3.4e38, -3.4e38]
    special += [np.inf, -np.inf] if infinite else []
    for value in special:
        rows.append(np.full(x.shape[1], value, dtype))
        row = x[rng.integers(len(x))].copy()
        row[rng.integers(x.shape[1])] = value
        rows.append(row)
    return np.array(rows, dtype)


def write(name, extension, model, rows, raw, predicted, classes, width="f32"):
    """`classes` is None where a prediction is no class."""
    with open(os.path.join(HERE, f"{name}.{extension}"), "wb") as f:
        f.write(model)
    kinds = {"f32": "<f4", "f64": "<f8"}
    rows_kind, raw_kind = width.split("/") if "/" in width else (width, width)
    raw, predicted = (np.asarray(a).reshape(len(rows), -1) for a in (raw, predicted))
    with open(os.path.join(HERE, f"{name}.bin"), "wb") as f:
        f.write(struct.pack("<II", *rows.shape) + np.ascontiguousarray(rows, kinds[rows_kind]).tobytes())
        for array in (raw, predicted):
            f.write(struct.pack("<I", array.shape[1]))
            f.write(np.ascontiguousarray(array, kinds[raw_kind]).tobytes())
        listed = [] if classes is None else np.asarray(classes).reshape(-1).astype(np.int32)
        f.write(struct.pack("<I", len(listed)) + np.asarray(listed, np.int32).tobytes())
    remember({"name": name, "file": f"{name}.{extension}", "width": width})


def remember(case):
    path = os.path.join(HERE, "cases.json")
    cases = json.load(open(path)) if os.path.exists(path) else []
    cases = sorted([c for c in cases if c["name"] != case["name"]] + [case], key=lambda c: c["name"])
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join("  " + json.dumps(c) for c in cases) + "\n]\n")


def xgboost(wanted, old=False):
    import xgboost as xgb

    version = xgb.__version__
    prefix = f"xgb_{version.replace('.', '_')}" if old else "xgb"

    def thresholds(booster):
        found = []
        model = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
        for tree in model.get("gbtree", model).get("model", {}).get("trees", []):
            kinds = tree.get("split_type") or [0] * len(tree["left_children"])
            for left, feature, value, kind in zip(tree["left_children"], tree["split_indices"], tree["split_conditions"], kinds):
                if left != -1 and not kind:
                    found.append((feature, np.float32(value)))
        return found

    def finish(name, booster, x, extension="json", kinds=None, rounds=(0, 0)):
        # Only predictions in place take infinities, and for dart they add in another order.
        infinite = not kinds and not old and "dart" not in name and "linear" not in name
        rows = hard_rows(x, thresholds(booster), infinite=infinite)
        if kinds:
            # Codes that are no integer, negative, unseen, beyond what a category may be.
            for at, value in enumerate([0.5, -0.5, 1.9, -1.0, 40.0, 1e6, 2e7, 3e9]):
                row = x[at].copy()
                row[[i for i, kind in enumerate(kinds) if kind == "c"]] = value
                rows = np.vstack([rows, row[None]])
            rows[:, [i for i, kind in enumerate(kinds) if kind == "c"]] = np.where(
                np.abs(rows[:, [i for i, kind in enumerate(kinds) if kind == "c"]]) > 1e30, 3.0,
                rows[:, [i for i, kind in enumerate(kinds) if kind == "c"]])
        if infinite:
            raw = booster.inplace_predict(rows, iteration_range=rounds, predict_type="margin")
            predicted = booster.inplace_predict(rows, iteration_range=rounds)
        else:
            matrix = xgb.DMatrix(rows, feature_names=booster.feature_names, feature_types=booster.feature_types,
                                 enable_categorical=bool(kinds))
            raw = booster.predict(matrix, output_margin=True, iteration_range=rounds)
            predicted = booster.predict(matrix, iteration_range=rounds)
        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        classes = None
        if objective == "binary:logistic" and predicted.ndim == 1:
            classes = predicted > 0.5
        elif objective in ("binary:hinge", "multi:softmax"):
            classes = predicted
        elif objective == "multi:softprob":
            classes = predicted.argmax(axis=1)
        if objective == "multi:softmax":
            # Its predictions are classes; probabilities are those of the same scores.
            e = np.exp(raw - raw.max(axis=1, keepdims=True))
            predicted = e / e.sum(axis=1, keepdims=True)
        write(name, extension, bytes(booster.save_raw("json" if extension == "json" else "ubj")), rows, raw, predicted, classes)

    x, score, rng = data(SEED)
    three = np.digitize(score, [-0.7, 0.7])
    positive = np.exp(score / 2)
    common = {"max_depth": 3, "seed": SEED, "nthread": 1, "eta": 0.4}
    targets = {
        "binary_logistic": ("binary:logistic", score > 0), "binary_logitraw": ("binary:logitraw", score > 0),
        "binary_hinge": ("binary:hinge", score > 0), "reg_squarederror": ("reg:squarederror", score),
        "reg_squaredlogerror": ("reg:squaredlogerror", positive), "reg_pseudohuber": ("reg:pseudohubererror", score),
        "reg_logistic": ("reg:logistic", 1 / (1 + np.exp(-score))), "reg_gamma": ("reg:gamma", positive),
        "reg_tweedie": ("reg:tweedie", np.maximum(score, 0)), "count_poisson": ("count:poisson", np.floor(positive)),
        "survival_cox": ("survival:cox", positive * np.where(score > 1, -1, 1)), "reg_absoluteerror": ("reg:absoluteerror", score),
    }
    if old:
        targets = {"binary": targets["binary_logistic"]}
    for name, (objective, label) in targets.items():
        if wanted and name not in wanted:
            continue
        booster = xgb.train({**common, "objective": objective}, xgb.DMatrix(x, label), 6)
        finish(f"{prefix}_{name}", booster, x, "ubj" if "logistic" in name else "json")
    softprob = xgb.train({**common, "objective": "multi:softprob", "num_class": 3}, xgb.DMatrix(x, three), 5)
    finish(f"{prefix}_multi_softprob", softprob, x)
    if not old or version >= "2":
        multi = xgb.train({**common, "tree_method": "hist", "multi_strategy": "multi_output_tree"},
                          xgb.DMatrix(x, np.stack([score, -score, positive], 1)), 5)
        finish(f"{prefix}_multi_output_tree", multi, x)
    codes = x.copy()
    codes[:, 3], codes[:, 4] = rng.integers(0, 20, ROWS), rng.integers(0, 3, ROWS)
    codes[rng.random(ROWS) < 0.1, 3] = np.nan
    kinds = ["q", "q", "int", "c", "c", "i"]
    codes[:, 2], codes[:, 5] = rng.integers(0, 9, ROWS), rng.integers(0, 2, ROWS)
    label = score + (codes[:, 3] % 3 == 1) * 2 - (codes[:, 4] == 1)
    names = ["length", "width", "count", "colour", "size", "flag"]
    matrix = xgb.DMatrix(codes, label, feature_names=names, feature_types=kinds, enable_categorical=True)
    for way, onehot in (("partition", 1), ("onehot", 100)):
        booster = xgb.train({**common, "tree_method": "hist", "max_cat_to_onehot": onehot}, matrix, 5)
        finish(f"{prefix}_categorical_{way}", booster, codes, kinds=kinds)
    dart = {**common, "booster": "dart", "rate_drop": 0.4, "objective": "binary:logistic"}
    finish(f"{prefix}_dart", xgb.train(dart, xgb.DMatrix(x, score > 0), 8), x)
    linear = {"booster": "gblinear", "nthread": 1, "seed": SEED, "updater": "coord_descent"}
    whole = np.nan_to_num(x)
    finish(f"{prefix}_linear", xgb.train({**linear, "objective": "binary:logistic"}, xgb.DMatrix(whole, score > 0), 5), x, "ubj")
    if old:
        return
    finish("xgb_linear_multi", xgb.train({**linear, "objective": "multi:softprob", "num_class": 3}, xgb.DMatrix(whole, three), 5), x)
    finish("xgb_dart_multi", xgb.train({**dart, "objective": "multi:softprob", "num_class": 3}, xgb.DMatrix(x, three), 6), x)
    finish("xgb_multi_softmax", xgb.train({**common, "objective": "multi:softmax", "num_class": 3}, xgb.DMatrix(x, three), 4), x, "ubj")
    several = np.stack([score, -score, score * score], 1)
    finish("xgb_multi_target", xgb.train(common, xgb.DMatrix(x, several), 4), x)
    finish("xgb_multi_label", xgb.train({**common, "objective": "binary:logistic"}, xgb.DMatrix(x, several > 0), 4), x)
    quantiles = {**common, "objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]}
    finish("xgb_reg_quantile", xgb.train(quantiles, xgb.QuantileDMatrix(x, score), 4), x)
    aft = xgb.DMatrix(x)
    aft.set_float_info("label_lower_bound", positive)
    aft.set_float_info("label_upper_bound", np.where(score > 1, np.inf, positive))
    finish("xgb_survival_aft", xgb.train({**common, "objective": "survival:aft"}, aft, 5), x)
    ranked = xgb.DMatrix(x, three, qid=np.arange(ROWS) // 20)
    finish("xgb_rank_ndcg", xgb.train({**common, "objective": "rank:ndcg"}, ranked, 5), x)
    forest = {**common, "objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2, "subsample": 0.5}
    watch = xgb.DMatrix(*data(SEED + 1)[:2])
    watch.set_label(rng.integers(0, 3, ROWS))
    stopped = xgb.train(forest, xgb.DMatrix(x, three), 12, evals=[(watch, "test")], early_stopping_rounds=2, verbose_eval=False)
    best = stopped.best_iteration
    assert best + 1 < stopped.num_boosted_rounds()
    finish("xgb_best_iteration", stopped, x, rounds=(0, best + 1))
    import pandas as pd

    frame = pd.DataFrame({
        "colour": pd.Categorical(rng.choice(["red", "green", "blue", "black", "white"], ROWS)),
        "year": pd.Categorical(rng.choice([2001, 2002, 2003], ROWS)), "length": x[:, 0],
    })
    booster = xgb.train({**common, "max_cat_to_onehot": 1}, xgb.DMatrix(frame, label, enable_categorical=True), 4)
    coded = np.stack([frame["colour"].cat.codes, frame["year"].cat.codes, frame["length"]], 1).astype(np.float32)
    raw = booster.predict(xgb.DMatrix(frame, enable_categorical=True), output_margin=True)[:40]
    write("xgb_frame", "json", bytes(booster.save_raw("json")), coded[:40], raw, raw, None)


def lightgbm(wanted):
    import lightgbm as lgb
    import pandas as pd

    x, score, rng = data(SEED)
    x = x.astype(np.float64)
    # Zeros, and what counts as zero.
    x[:, 5] = np.where(rng.random(ROWS) < 0.5, 0.0, x[:, 5])
    x[:, 4] = np.where(rng.random(ROWS) < 0.2, rng.choice([1e-36, -1e-36, 0.0], ROWS), x[:, 4])
    three, positive = np.digitize(score, [-0.7, 0.7]), np.exp(score / 2).astype(np.float64)
    probability = 1 / (1 + np.exp(-score.astype(np.float64)))
    common = {"num_leaves": 9, "learning_rate": 0.3, "min_data_in_leaf": 5, "verbose": -1, "seed": SEED, "num_threads": 1,
              "deterministic": True, "force_row_wise": True}

    def thresholds(booster):
        found = []
        for block in booster.model_to_string().split("Tree=")[1:]:
            keys = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            lists = [keys.get(key, "").split() for key in ("split_feature", "threshold", "decision_type")]
            found += [(int(f), float(t)) for f, t, d in zip(*lists) if not int(d) & 1]
        return found

    def finish(name, parameters, label, rows=x, rounds=6, **dataset):
        if wanted and name not in wanted:
            return
        booster = lgb.train({**common, **parameters}, lgb.Dataset(rows, label, **dataset), rounds)
        asked = hard_rows(rows, thresholds(booster)[::-1])
        columns = dataset.get("categorical_feature", [])
        for at, value in enumerate([0.5, -0.5, 1.9, -1.0, 40.0, 1e6, 3e9]):
            if columns:
                row = rows[at].copy()
                row[columns] = value
                asked = np.vstack([asked, row[None]])
        raw, predicted = booster.predict(asked, raw_score=True), booster.predict(asked)
        if parameters.get("boosting") == "rf":
            # LightGBM averages only for predictions.
            raw = raw / rounds
        classes = None
        objective = parameters["objective"]
        if objective == "binary":
            classes = predicted > 0.5
        elif objective.startswith("multiclass"):
            classes = predicted.argmax(axis=1)
        write(f"lgb_{name}", "txt", booster.model_to_string().split("\nparameters:")[0].encode() + b"\n", asked, raw, predicted, classes, "f64")

    targets = {
        "binary": score > 0, "regression": score, "regression_l1": score, "huber": score, "fair": score, "poisson": positive,
        "quantile": score, "mape": score, "gamma": positive, "tweedie": positive, "cross_entropy": probability,
        "cross_entropy_lambda": probability,
    }
    for objective, label in targets.items():
        finish(objective, {"objective": objective}, label)
    finish("sigmoid", {"objective": "binary", "sigmoid": 0.7}, score > 0)
    finish("multiclass", {"objective": "multiclass", "num_class": 3}, three, rounds=4)
    finish("multiclassova", {"objective": "multiclassova", "num_class": 3, "sigmoid": 1.3}, three, rounds=4)
    finish("lambdarank", {"objective": "lambdarank"}, three, group=[20] * (ROWS // 20))
    finish("rank_xendcg", {"objective": "rank_xendcg"}, three, group=[20] * (ROWS // 20))
    bagging = {"bagging_fraction": 0.6, "bagging_freq": 1}
    finish("rf_binary", {"objective": "binary", "boosting": "rf", **bagging}, score > 0)
    finish("rf_multiclass", {"objective": "multiclass", "num_class": 3, "boosting": "rf", **bagging}, three, rounds=4)
    finish("rf_regression", {"objective": "regression", "boosting": "rf", **bagging}, score)
    finish("dart", {"objective": "binary", "boosting": "dart", "drop_rate": 0.5}, score > 0, rounds=8)
    finish("goss", {"objective": "binary", "data_sample_strategy": "goss"}, score > 0)
    finish("zero_as_missing", {"objective": "binary", "zero_as_missing": True}, score > 0)
    finish("no_missing", {"objective": "binary", "use_missing": False}, score > 0, np.nan_to_num(x))
    finish("reg_sqrt", {"objective": "regression", "reg_sqrt": True}, score)
    finish("constant", {"objective": "regression"}, np.full(ROWS, 2.5), rounds=2)
    codes = x.copy()
    codes[:, 3], codes[:, 4] = rng.integers(0, 70, ROWS), rng.integers(0, 3, ROWS)
    codes[rng.random(ROWS) < 0.1, 3] = np.nan
    label = score + (codes[:, 3] % 3 == 1) * 2 - (codes[:, 4] == 1)
    few = {"min_data_per_group": 5, "cat_smooth": 1.0}
    names = ["length", "width", "count", "colour", "size", "flag"]
    finish("categorical", {"objective": "regression", **few}, label, codes, categorical_feature=[3, 4], feature_name=names)
    finish("categorical_zero_as_missing", {"objective": "regression", "zero_as_missing": True, **few}, label, codes, categorical_feature=[3, 4])
    if not wanted or "frame" in wanted:
        frame = pd.DataFrame({
            "colour": pd.Categorical(rng.choice(["red", "grün", "blue", "black", "white"], ROWS)),
            "year": pd.Categorical(rng.choice([2001, 2002, 2003], ROWS)), "length": x[:, 0],
        })
        label = score + (frame["colour"] == "grün") - (frame["year"] == 2002)
        booster = lgb.train({**common, "objective": "regression", **few}, lgb.Dataset(frame, label), 6)
        coded = np.stack([frame["colour"].cat.codes, frame["year"].cat.codes, frame["length"]], 1).astype(np.float64)
        raw = booster.predict(frame, raw_score=True)[:40]
        head, tail = booster.model_to_string().split("\nparameters:")
        text = head + "\n" + tail[tail.index("pandas_categorical:"):]
        write("lgb_frame", "txt", text.encode(), coded[:40], raw, raw, None, "f64")


def catboost(wanted):
    import catboost as cb

    x, score, rng = data(SEED)
    three, positive = np.digitize(score, [-0.7, 0.7]), np.exp(score / 2)
    common = {"iterations": 6, "depth": 3, "verbose": 0, "allow_writing_files": False, "random_seed": SEED, "thread_count": 1}

    def finish(name, model, label, rows=x, **fit):
        if wanted and name not in wanted:
            return
        model.fit(rows, label, **fit)
        path = os.path.join(HERE, f"cat_{name}.json")
        model.save_model(path, format="json")
        file = json.load(open(path))
        borders = [(f["flat_feature_index"], b) for f in file["features_info"]["float_features"] for b in f["borders"]]
        asked = hard_rows(rows, borders)
        raw = model.predict(asked, prediction_type="RawFormulaVal")
        classes = None
        if isinstance(model, cb.CatBoostClassifier):
            predicted = model.predict_proba(asked)
            if file["model_info"]["params"]["loss_function"]["type"] != "MultiLogloss":
                names = [str(name) for name in model.classes_]
                classes = [names.index(str(answer)) for answer in np.asarray(model.predict(asked)).reshape(-1)]
        else:
            predicted = model.predict(asked)
        # The rest of what CatBoost says about itself is long.
        about = file["model_info"]
        kept = {key: about[key] for key in ("catboost_version_info", "class_params") if key in about}
        file["model_info"] = {**kept, "params": {"loss_function": about["params"]["loss_function"]}}
        write(f"cat_{name}", "json", json.dumps(file).encode(), asked, raw, predicted, classes, "f32/f64")

    classifier, regressor = cb.CatBoostClassifier, cb.CatBoostRegressor
    finish("logloss", classifier(**common), score > 0)
    finish("strings", classifier(**common), np.where(score > 0, "ja", "nein"))
    finish("floats", classifier(**common), (score > 0) * 1.0)
    finish("multiclass", classifier(**common), three * 5)
    finish("multiclass_ova", classifier(**common, loss_function="MultiClassOneVsAll"), three)
    finish("multi_logloss", classifier(**common, loss_function="MultiLogloss"), np.stack([score > 0, score > 1], 1) * 1)
    finish("rmse", regressor(**common), score)
    finish("poisson", regressor(**common, loss_function="Poisson"), np.floor(positive))
    finish("tweedie", regressor(**common, loss_function="Tweedie:variance_power=1.5"), positive)
    finish("quantile", regressor(**common, loss_function="Quantile:alpha=0.3"), score)
    finish("multi_rmse", regressor(**common, loss_function="MultiRMSE"), np.stack([score, -score, positive], 1))
    finish("nan_min", regressor(**common, nan_mode="Min"), score)
    finish("nan_max", regressor(**common, nan_mode="Max"), score)
    lossguide = {**common, "grow_policy": "Lossguide", "max_leaves": 10, "depth": 6}
    finish("lossguide", classifier(**lossguide), score > 0)
    finish("lossguide_multiclass", classifier(**lossguide), three)
    finish("depthwise", regressor(**common, grow_policy="Depthwise"), score)


if __name__ == "__main__":
    which, *wanted = sys.argv[1:]
    if which == "old":
        xgboost(wanted, old=True)
    else:
        globals()[which](wanted)
