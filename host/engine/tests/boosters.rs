//! Every model of `boosters/make.py` answers as the library that trained it: classes are the same, raw scores of XGBoost
//! bit for bit, those of libraries that add in f64 within 1e-12.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ampoule_engine::{Dtype, Error, ErrorKind, FeatureKind, Graph, LoadOptions, Margin, Tensor, compact};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/boosters");

#[derive(Clone)]
struct Case {
    name: String,
    model: Vec<u8>,
    rows: Array,
    raw: Array,
    predicted: Array,
    /// Empty where a prediction is no class
    classes: Vec<i64>,
}

#[derive(Clone)]
struct Array {
    wide: bool,
    width: usize,
    bytes: Vec<u8>,
}

impl Array {
    fn of(tensor: &Tensor) -> Self {
        let wide = tensor.dtype() == Dtype::F64;
        assert!(wide || tensor.dtype() == Dtype::F32);
        Self { wide, width: tensor.shape().get(1).copied().unwrap_or(1), bytes: tensor.as_bytes().to_vec() }
    }

    fn values(&self) -> Vec<f64> {
        if self.wide {
            return self.bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
        }
        self.bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
    }

    fn tensor(&self) -> Tensor {
        let (dtype, size) = if self.wide { (Dtype::F64, 8) } else { (Dtype::F32, 4) };
        let rows = self.bytes.len() / size / self.width;
        Tensor::from_le_bytes(dtype, &[rows, self.width], &self.bytes).unwrap()
    }

    fn row(&self, at: usize) -> Self {
        let size = if self.wide { 8 } else { 4 } * self.width;
        Self { bytes: self.bytes[at * size..][..size].to_vec(), ..*self }
    }
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{file}")).unwrap()
}

fn cases() -> Vec<Case> {
    let listed: Value = serde_json::from_slice(&read("cases.json")).unwrap();
    listed.as_array().unwrap().iter().map(case).collect()
}

fn case(listed: &Value) -> Case {
    let name = listed["name"].as_str().unwrap().to_owned();
    let (rows_wide, raw_wide) = match listed["width"].as_str().unwrap() {
        "f32" => (false, false),
        "f32/f64" => (false, true),
        "f64" => (true, true),
        other => panic!("{name}: {other}"),
    };
    let bytes = read(&format!("{name}.bin"));
    let mut file = Cursor(&bytes);
    let (count, features) = (file.count(), file.count());
    let rows = file.array(count, features, rows_wide);
    let width = file.count();
    let raw = file.array(count, width, raw_wide);
    let width = file.count();
    let predicted = file.array(count, width, raw_wide);
    let classes = (0..file.count()).map(|_| file.count() as i32 as i64).collect();
    assert!(file.0.is_empty());
    Case { model: read(listed["file"].as_str().unwrap()), name, rows, raw, predicted, classes }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn count(&mut self) -> usize {
        let (number, rest) = self.0.split_first_chunk().unwrap();
        self.0 = rest;
        u32::from_le_bytes(*number) as usize
    }

    fn array(&mut self, rows: usize, width: usize, wide: bool) -> Array {
        let (bytes, rest) = self.0.split_at(rows * width * if wide { 8 } else { 4 });
        self.0 = rest;
        Array { wide, width, bytes: bytes.to_vec() }
    }
}

fn load(case: &Case) -> Graph {
    let options = LoadOptions { margin: Margin::With, ..LoadOptions::default() };
    Graph::load(&case.model, &options).unwrap_or_else(|e| panic!("{}: {e}: {e:?}", case.name))
}

fn run(graph: &Graph, rows: &Array) -> Vec<(String, Tensor)> {
    graph.run(vec![("input".to_owned(), rows.tensor())]).unwrap()
}

/// The output of this name.
fn output<'a>(answers: &'a [(String, Tensor)], name: &str) -> Option<&'a Tensor> {
    answers.iter().find(|(output, _)| output == name).map(|(_, tensor)| tensor)
}

/// Positions among the labels that the file lists.
fn classes(case: &Case, label: &Tensor) -> Vec<i64> {
    let known = Graph::describe(&case.model).unwrap().labels;
    let position = |label: &str| known.iter().position(|other| other == label).unwrap() as i64;
    match label.strings() {
        Some(labels) => labels.iter().map(|label| position(label)).collect(),
        None => {
            let numbers = label.as_bytes().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
            numbers.map(|number| position(&number.to_string())).collect()
        }
    }
}

fn assert_close(title: &str, got: &Array, expected: &Array, tolerance: f64) {
    assert_eq!((got.width, got.wide), (expected.width, expected.wide), "{title}");
    for (at, (got, expected)) in got.values().into_iter().zip(expected.values()).enumerate() {
        let same = got == expected
            || got.is_nan() && expected.is_nan()
            || (got - expected).abs() <= tolerance * expected.abs().max(1e-3);
        assert!(same, "{title}, {at}: expected {expected:e}, got {got:e}");
    }
}

#[test]
fn boosters_answer_as_their_libraries_do() {
    let cases = cases();
    assert!(cases.len() > 80, "cases.json lists {}", cases.len());
    for case in &cases {
        let graph = load(case);
        let answers = run(&graph, &case.rows);
        let raw = Array::of(output(&answers, "margin").unwrap());
        let title = format!("{}, raw scores", case.name);
        if case.raw.wide {
            assert_close(&title, &raw, &case.raw, 1e-12);
        } else {
            assert_close(&title, &raw, &case.raw, 0.0);
            assert!(raw.bytes == case.raw.bytes, "{title} differ in the sign of a zero");
        }
        if let Some(label) = output(&answers, "label") {
            assert_eq!(classes(case, label), case.classes, "{}, classes", case.name);
        } else {
            assert!(case.classes.is_empty(), "{} has classes", case.name);
        }
        let tolerance = if case.raw.wide { 1e-12 } else { 3e-7 };
        let title = format!("{}, predictions", case.name);
        if let Some(prediction) = output(&answers, "prediction") {
            assert_close(&title, &Array::of(prediction), &case.predicted, tolerance);
        } else if let Some(probabilities) = output(&answers, "probabilities") {
            let both = Array::of(probabilities);
            assert_close(&title, &both, &widened(&case.predicted), tolerance);
        }
    }
}

/// Libraries give two classes' probabilities as one number.
fn widened(predicted: &Array) -> Array {
    if predicted.width > 1 {
        return predicted.clone();
    }
    let bytes = predicted.values().into_iter().flat_map(|p| match predicted.wide {
        true => [1.0 - p, p].map(f64::to_le_bytes).concat(),
        false => [1.0 - p as f32, p as f32].map(f32::to_le_bytes).concat(),
    });
    Array { wide: predicted.wide, width: 2, bytes: bytes.collect() }
}

#[test]
fn a_row_alone_is_answered_as_among_others() {
    for case in cases() {
        let graph = load(&case);
        let together = Array::of(output(&run(&graph, &case.rows), "margin").unwrap());
        for at in 0..5 {
            let alone = Array::of(output(&run(&graph, &case.rows.row(at)), "margin").unwrap());
            assert_eq!(alone.bytes, together.row(at).bytes, "{}, row {at}", case.name);
        }
    }
}

#[test]
fn the_compact_form_of_a_booster_is_the_same_graph() {
    for case in cases() {
        let sealed = compact(&case.model).unwrap().unwrap();
        assert_eq!(compact(&sealed).unwrap(), None, "{}", case.name);
        assert_eq!(Graph::describe(&sealed).unwrap(), Graph::describe(&case.model).unwrap(), "{}", case.name);
        let from_file = run(&load(&case), &case.rows);
        let from_sealed = run(&load(&Case { model: sealed, ..case.clone() }), &case.rows);
        for ((name, expected), (_, got)) in from_file.iter().zip(&from_sealed) {
            assert_eq!(got.strings(), expected.strings(), "{}, {name}", case.name);
            assert_eq!(got.as_bytes(), expected.as_bytes(), "{}, {name}", case.name);
        }
    }
}

#[test]
fn boosters_describe_themselves() {
    use FeatureKind::{Categorical, Float, Indicator, Integer};
    let described = |name: &str| {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        Graph::describe(&case.model).unwrap()
    };
    let frame = described("xgb_frame");
    let features: Vec<(&str, FeatureKind, Vec<&str>)> = frame
        .features
        .iter()
        .map(|feature| {
            (feature.name.as_str(), feature.kind, feature.categories.iter().map(String::as_str).collect())
        })
        .collect();
    let colours = vec!["black", "blue", "green", "red", "white"];
    let expected = [
        ("colour", Categorical, colours),
        ("year", Categorical, vec!["2001", "2002", "2003"]),
        ("length", Float, vec![]),
    ];
    assert_eq!(features, expected);
    // XGBoost 3.2 counts the characters of names, not their bytes, so that files have lost what is beyond ASCII.
    let case = cases().into_iter().find(|case| case.name == "xgb_frame").unwrap();
    let text =
        String::from_utf8(case.model).unwrap().replacen("103,114,101,101,110", "103,114,-61,-68,110", 1);
    assert!(Graph::describe(text.as_bytes()).unwrap().features[0].categories.is_empty());

    let named = |description: &ampoule_engine::Description| {
        let names = description.features.iter().map(|feature| feature.categories.join(" "));
        names.collect::<Vec<_>>()
    };
    assert_eq!(named(&described("lgb_frame")), ["black blue grün red white", "2001 2002 2003", ""]);
    let case = cases().into_iter().find(|case| case.name == "lgb_frame").unwrap();
    let text = String::from_utf8(case.model).unwrap();
    for (spoilt, names) in [
        // Somebody's list is missing: it can't be told whose.
        (", [2001, 2002, 2003]", ["", "", ""]),
        // Fewer categories than the trees know.
        (", \"white\"", ["", "", ""]),
        ("[[\"black\", \"blue\", \"gr\\u00fcn\", \"red\", \"white\"], [2001, 2002, 2003]]", ["", "", ""]),
    ] {
        let rest = if spoilt.starts_with('[') { "null" } else { "" };
        let text = text.replacen(spoilt, rest, 1);
        assert_eq!(named(&Graph::describe(text.as_bytes()).unwrap()), names, "without {spoilt}");
    }
    let mixed = text.replacen("2002", "2002.5", 1);
    assert_eq!(named(&Graph::describe(mixed.as_bytes()).unwrap()), ["black blue grün red white", "", ""]);
    let torn = text.replacen("2003]]", "2003", 1);
    let why = Graph::describe(torn.as_bytes()).unwrap_err().to_string();
    assert!(why.starts_with("LightGBM: pandas_categorical: expected lists of categories"), "{why}");

    assert_eq!(frame.producer, "XGBoost 3.2.0");
    let onehot = described("xgb_categorical_onehot");
    let kinds: Vec<FeatureKind> = onehot.features.iter().map(|feature| feature.kind).collect();
    assert_eq!(kinds, [Float, Float, Integer, Categorical, Categorical, Indicator]);

    let strings = described("cat_strings");
    assert_eq!(strings.labels, ["ja", "nein"]);
    assert_eq!(strings.producer, "CatBoost release 1.2.10");
    let shown = |infos: &[ampoule_engine::TensorInfo]| {
        infos.iter().map(|info| format!("{}: {info}", info.name)).collect::<Vec<_>>().join(", ")
    };
    let cases = [
        (
            "cat_strings",
            "input: f32[N, 6]",
            "label: string[N], probabilities: f64[N, 2]",
            "Logloss",
            "classification",
        ),
        ("xgb_binary_hinge", "input: f32[N, 6]", "label: i64[N]", "binary:hinge", "classification"),
        ("xgb_rank_ndcg", "input: f32[N, 6]", "prediction: f32[N]", "rank:ndcg", "ranking"),
        ("xgb_survival_aft", "input: f32[N, 6]", "prediction: f32[N]", "survival:aft", "survival"),
        (
            "lgb_multiclass",
            "input: f64[N, 6]",
            "label: i64[N], probabilities: f64[N, 3]",
            "multiclass num_class:3",
            "classification",
        ),
        ("cat_multi_rmse", "input: f32[N, 6]", "prediction: f64[N, 3]", "MultiRMSE", "regression"),
    ];
    for (name, inputs, outputs, objective, task) in cases {
        let model = described(name);
        assert_eq!(
            (shown(&model.inputs).as_str(), shown(&model.outputs).as_str()),
            (inputs, outputs),
            "{name}"
        );
        let metadata = [("objective".to_owned(), objective.to_owned()), ("task".to_owned(), task.to_owned())];
        assert_eq!(model.metadata, metadata, "{name}");
    }
}

#[test]
fn what_is_not_run_is_refused_by_name() {
    let change = |name: &str, from: &str, to: &str| {
        let case = cases().into_iter().find(|case| case.name == name).unwrap();
        let text = String::from_utf8(case.model).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        text.replacen(from, to, 1).into_bytes()
    };
    let unsupported = [
        (change("xgb_reg_gamma", "reg:gamma", "reg:other"), r#"XGBoost: objective "reg:other" is not known"#),
        (
            change("xgb_reg_gamma", r#""name":"gbtree""#, r#""name":"gbforest""#),
            r#"XGBoost: booster "gbforest" is not read"#,
        ),
        (b"binf\0\0".to_vec(), "XGBoost's deprecated binary format is not read (save it as .json or .ubj)"),
        (
            change("lgb_huber", "objective=huber", "objective=other"),
            r#"LightGBM: objective "other" is not known"#,
        ),
        (
            change("lgb_huber", "is_linear=0", "is_linear=1"),
            "LightGBM: tree 0: linear trees (linear_tree=true) are not run",
        ),
        (
            change("lgb_huber", "version=v4", "version=v5"),
            r#"LightGBM: version "v5" of the format is not known"#,
        ),
        (b"CBM1\0\0".to_vec(), r#"CatBoost's binary format is not read (save it with format="json")"#),
        (
            change(
                "cat_rmse",
                r#""features_info": {"#,
                r#""features_info": {"categorical_features": [{"feature_id": "a"}], "#,
            ),
            r#"CatBoost: categorical feature "a" is not read (encode it before training)"#,
        ),
        (
            change("cat_rmse", r#""type": "RMSE""#, r#""type": "Other""#),
            r#"CatBoost: loss function "Other" is not known"#,
        ),
    ];
    for (model, expected) in unsupported {
        assert_eq!(refused(&model), (ErrorKind::Unsupported, expected.to_owned()));
    }
    let damaged = [
        (
            change("cat_rmse", "FloatFeature", "OnlineCtr"),
            r#"CatBoost's JSON: splits of type "OnlineCtr" are not read"#,
        ),
        (change("lgb_huber", "left_child=", "left_child=99 "), "LightGBM: tree 0: child 99 does not exist"),
        (change("lgb_huber", "left_child=", "left_child=0 "), "LightGBM: tree 0: more values than those of"),
        (
            change(
                "xgb_reg_gamma",
                r#""num_class":"0","num_feature":"6""#,
                r#""num_class":"0","num_feature":"1""#,
            ),
            "trees: node",
        ),
        (b"{\"a\": 1}".to_vec(), "expected a model of XGBoost or CatBoost, got other JSON"),
        (b"{\"learner\": {}}".to_vec(), "XGBoost's JSON: missing field `gradient_booster`"),
        (b"\x00ampfst\x02".to_vec(), "compact model: expected version 1 of the compact form"),
    ];
    for (model, expected) in damaged {
        let (kind, message) = refused(&model);
        assert_eq!(kind, ErrorKind::InvalidModel);
        assert!(message.starts_with(expected), "expected {expected}, got {message}");
    }
}

fn refused(model: &[u8]) -> (ErrorKind, String) {
    let error: Error = Graph::load(model, &LoadOptions::default())
        .err()
        .unwrap_or_else(|| panic!("taken: {}", String::from_utf8_lossy(&model[..model.len().min(400)])));
    assert_eq!(Graph::describe(model).unwrap_err().to_string(), error.to_string());
    (error.kind(), error.to_string())
}

#[test]
fn damaged_files_never_panic() {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        state as usize >> 8
    };
    let mut refusals = 0;
    for case in cases() {
        for whole in [compact(&case.model).unwrap().unwrap(), case.model] {
            for _ in 0..40 {
                let mut spoilt = whole.clone();
                for _ in 0..1 + random() % 3 {
                    let at = random() % spoilt.len();
                    match random() % 3 {
                        0 => spoilt[at] = random() as u8,
                        1 => spoilt.truncate(at.max(1)),
                        _ => spoilt[at] = b"0129-,.]}\xff"[random() % 10],
                    }
                }
                // Any answer will do, as long as there is one.
                refusals += usize::from(Graph::load(&spoilt, &LoadOptions::default()).is_err());
            }
        }
    }
    assert!(refusals > 1000, "{refusals}");
}
