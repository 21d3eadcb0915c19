//! Every model of `make_models.py` answers as ONNX Runtime does, within `|a - e| <= atol + rtol * |e|`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod golden;

use std::error::Error;

use ampoule_engine::{Dtype, Engine, Graph, Tensor};
use golden::{by, bytes, engines, f32s, json, load, tensors, widen};

/// Name, atol, rtol.
const CASES: [(&str, f64, f64); 12] = [
    ("linear", 1e-6, 1e-5),
    ("mlp", 1e-6, 1e-5),
    ("cnn", 1e-5, 1e-5),
    ("cnn_fixed", 1e-5, 1e-5),
    ("cnn_wrong_dims", 1e-5, 1e-5),
    // The peer rounds to f16 after every operator, this engine once.
    ("cnn_f16", 1e-2, 1e-2),
    ("cnn_f16_within", 1e-2, 1e-2),
    ("several", 0.0, 0.0),
    ("lstm", 1e-6, 1e-5),
    ("iris_trees", 1e-6, 0.0),
    ("iris_logistic", 1e-6, 0.0),
    ("cancer_logistic", 1e-6, 0.0),
];

#[test]
fn models_answer_as_the_peer_does() {
    for (engine, options) in engines().iter().map(|(name, engine)| (name, by(engine))) {
        for (name, atol, rtol) in CASES {
            let graph = Graph::load(&bytes(&format!("models/{name}.onnx")), &options).unwrap();
            for (at, run) in json(name)["runs"].as_array().unwrap().iter().enumerate() {
                let answers = graph.run(tensors(&run["inputs"])).unwrap();
                let title = format!("{engine}: {name}, run {at}");
                compare(&title, &answers, &tensors(&run["outputs"]), atol, rtol);
            }
        }
    }
}

#[test]
fn classifiers_and_ensembles_follow_the_peers_conventions() {
    engines().iter().for_each(|(name, engine)| many("forests", name, engine));
}

#[test]
fn ensembles_in_doubles_follow_the_peer() {
    engines().iter().for_each(|(name, engine)| many("doubles", name, engine));
}

/// Models that lie one behind the other in a file.
fn many(name: &str, engine: &str, by_engine: &Engine) {
    let (stream, cases) = (bytes(&format!("models/{name}.bin")), json(name));
    let mut rest = stream.as_slice();
    for case in cases["runs"].as_array().unwrap() {
        let (model, after) = rest.split_at(case["length"].as_u64().unwrap() as usize);
        rest = after;
        let inputs = tensors(&cases[case["inputs"].as_str().unwrap()]);
        let title = &format!("{engine}: {}", case["title"].as_str().unwrap());
        let graph = Graph::load(model, &by(by_engine)).unwrap_or_else(|e| panic!("{title}: {e:?}"));
        compare(title, &graph.run(inputs).unwrap(), &tensors(&case["outputs"]), 1e-6, 1e-6);
    }
    assert!(rest.is_empty());
}

#[test]
fn operators_answer_as_the_peer_does() {
    engines().iter().for_each(|(name, engine)| operators(name, engine));
}

fn operators(engine: &str, by_engine: &Engine) {
    let (stream, cases) = (bytes("models/operators.bin"), json("operators"));
    let (mut rest, mut wrong) = (stream.as_slice(), vec![]);
    for case in cases["runs"].as_array().unwrap() {
        let (model, after) = rest.split_at(case["length"].as_u64().unwrap() as usize);
        rest = after;
        let title = &format!("{engine}: {}", case["title"].as_str().unwrap());
        let answers = Graph::load(model, &by(by_engine))
            .and_then(|graph| graph.run(tensors(&case["inputs"])))
            .map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string));
        match (answers, case.get("outputs")) {
            (Ok(answers), Some(expected)) => {
                wrong.extend(differ(title, &answers, &tensors(expected), 1e-6, 1e-5));
            }
            (Err(error), Some(_)) => wrong.push(format!("{title}: expected an answer, got {error}")),
            (Ok(answers), None) => wrong.push(format!("{title}: expected a refusal, got {answers:?}")),
            (Err(_), None) => {}
        }
    }
    assert!(rest.is_empty() && wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn iris_trees_answer_as_xgboost_does() {
    let inputs = tensors(&json("iris_trees")["runs"][0]["inputs"]);
    let answers = load("iris_trees").run(inputs).unwrap();
    let peer = json("iris_trees_xgboost");
    let labels = answers[0].1.as_bytes().chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()));
    assert!(labels.eq(peer["labels"].as_array().unwrap().iter().map(|l| l.as_i64().unwrap())));
    for (at, (got, expected)) in
        f32s(&answers[1].1).iter().zip(peer["probabilities"].as_array().unwrap()).enumerate()
    {
        let expected = expected.as_f64().unwrap() as f32;
        assert!((got - expected).abs() <= 1e-6, "probability {at}: expected {expected}, got {got}");
    }
}

#[test]
fn recurrent_graphs_start_each_call_anew() {
    let graph = load("lstm");
    let runs = json("lstm");
    let inputs = || tensors(&runs["runs"][0]["inputs"]);
    let first = graph.run(inputs()).unwrap();
    let second = graph.run(inputs()).unwrap();
    assert_eq!(first[0].1.as_bytes(), second[0].1.as_bytes());
}

#[test]
fn a_batch_without_rows_has_an_answer_without_rows() {
    let empty = Tensor::from_le_bytes(Dtype::F32, &[0, 4], &[]).unwrap();
    let answers = load("iris_trees").run(vec![("input".to_owned(), empty)]).unwrap();
    assert_eq!((answers[0].1.shape(), answers[1].1.shape()), ([0].as_slice(), [0, 3].as_slice()));
}

fn compare(title: &str, got: &[(String, Tensor)], expected: &[(String, Tensor)], atol: f64, rtol: f64) {
    let wrong = differ(title, got, expected, atol, rtol);
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

/// The first difference between two lists of named tensors.
fn differ(
    title: &str,
    got: &[(String, Tensor)],
    expected: &[(String, Tensor)],
    atol: f64,
    rtol: f64,
) -> Option<String> {
    let names = |list: &[(String, Tensor)]| -> Vec<String> {
        list.iter().map(|(name, t)| format!("{name}: {}{:?}", t.dtype(), t.shape())).collect()
    };
    if names(got) != names(expected) {
        return Some(format!(
            "{title}: expected {}, got {}",
            names(expected).join(", "),
            names(got).join(", ")
        ));
    }
    got.iter().zip(expected).find_map(|((name, got), (_, expected))| match got.dtype() {
        Dtype::F64 | Dtype::F32 | Dtype::F16 => {
            let near =
                |a: f64, e: f64| a == e || a.is_nan() && e.is_nan() || (a - e).abs() <= atol + rtol * e.abs();
            let mut pairs = floats(got).into_iter().zip(floats(expected)).enumerate();
            let (at, (a, e)) = pairs.find(|(_, (a, e))| !near(*a, *e))?;
            Some(format!("{title}, {name}[{at}]: expected {e}, got {a}"))
        }
        _ => {
            let same = (got.strings(), got.as_bytes()) == (expected.strings(), expected.as_bytes());
            let shown =
                |t: &Tensor| t.strings().map_or_else(|| format!("{:?}", t.as_bytes()), |s| format!("{s:?}"));
            (!same).then(|| format!("{title}, {name}: expected {}, got {}", shown(expected), shown(got)))
        }
    })
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    let bytes = tensor.as_bytes();
    match tensor.dtype() {
        Dtype::F16 => {
            bytes.chunks_exact(2).map(|b| f64::from(widen(u16::from_le_bytes([b[0], b[1]])))).collect()
        }
        Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        _ => f32s(tensor).into_iter().map(f64::from).collect(),
    }
}
