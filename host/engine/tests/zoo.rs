//! Every estimator of `zoo/make_zoo.py` answers as scikit-learn does: labels and whole numbers equal, others within
//! 1e-5 relative (absolute below 1) or the noise that float32 has in ONNX Runtime, whichever is larger.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(dead_code, reason = "shared with other tests")]
mod golden;

use ampoule_engine::{Dtype, Engine, Graph, Tensor};
use golden::{by, bytes, engines, tensors};
use serde_json::Value;

#[test]
fn estimators_answer_as_scikit_learn_does() {
    engines().iter().for_each(|(name, engine)| all_answer(name, engine));
}

fn all_answer(engine: &str, by_engine: &Engine) {
    let zoo: Value = serde_json::from_slice(&bytes("zoo/answers.json")).unwrap();
    let members = zoo["members"].as_array().unwrap();
    let mut wrong = vec![];
    for member in members {
        let name = member["name"].as_str().unwrap();
        let estimator = member["estimator"].as_str().unwrap();
        match answers_differ(member, &zoo["data"][member["data"].as_str().unwrap()], by_engine) {
            None => println!("{name} ({estimator}): equal"),
            // ONNX Runtime's StringNormalizer needs the system's en_US.UTF-8, which not every machine has.
            Some(why) if engine == "onnxruntime" && why.contains("Failed to construct locale") => {
                println!("{engine}: {name} ({estimator}): skipped: {why}");
            }
            Some(why) => {
                println!("{name} ({estimator}): {why}");
                wrong.push(name);
            }
        }
    }
    println!("{engine}: {} of {} equal", members.len() - wrong.len(), members.len());
    assert!(members.len() >= 60 && wrong.is_empty(), "{engine}: wrong or refused: {}", wrong.join(", "));
}

#[test]
fn maps_become_scores_with_labels() {
    let description = Graph::describe(&bytes("zoo/models/logistic_names.onnx")).unwrap();
    assert_eq!(description.labels, ["setosa", "versicolor", "virginica"]);
    let scores = &description.outputs[1];
    assert_eq!((scores.name.as_str(), scores.to_string()), ("output_probability", "f32[?, 3]".to_owned()));
}

/// What is wrong, if anything is.
fn answers_differ(member: &Value, rows: &Value, engine: &Engine) -> Option<String> {
    let model = bytes(&format!("zoo/models/{}.onnx", member["name"].as_str().unwrap()));
    let graph = match Graph::load(&model, &by(engine)) {
        Ok(graph) => graph,
        Err(error) => return Some(format!("refused: {}", chain(&error))),
    };
    let inputs = match member["double"].as_bool() {
        Some(true) => tensors(rows).into_iter().map(|(name, tensor)| (name, doubled(&tensor))).collect(),
        _ => tensors(rows),
    };
    let answers = match graph.run(inputs) {
        Ok(answers) => answers,
        Err(error) => return Some(format!("failed: {}", chain(&error))),
    };
    let expected = member["outputs"].as_array().unwrap();
    expected.iter().find_map(|expected| output_differs(expected, &answers))
}

fn output_differs(expected: &Value, answers: &[(String, Tensor)]) -> Option<String> {
    let name = expected["name"].as_str().unwrap();
    let Some((_, got)) = answers.iter().find(|(answer, _)| answer == name) else {
        return Some(format!("no output {name:?}"));
    };
    let shape: Vec<usize> =
        expected["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let dtype = expected["dtype"].as_str().unwrap();
    if (got.dtype().name(), got.shape()) != (dtype, &shape[..]) {
        return Some(format!("{name}: expected {dtype}{shape:?}, got {}{:?}", got.dtype(), got.shape()));
    }
    let values = expected["values"].as_array().unwrap();
    let tolerance = expected["noise"].as_f64().unwrap().max(1e-5);
    if let Some(strings) = got.strings() {
        let at = values.iter().zip(strings).position(|(value, got)| value.as_str() != Some(got))?;
        return Some(format!("{name}[{at}]: expected {}, got {:?}", values[at], strings[at]));
    }
    let numbers = numbers(got);
    let differ = |at: &usize| {
        let (got, expected) = (numbers[*at], golden::number(&values[*at]));
        let scale = expected.abs().max(1.0);
        let near = (got - expected).abs() <= tolerance * scale;
        !(got == expected || got.is_nan() && expected.is_nan() || dtype.starts_with('f') && near)
    };
    let mut wrong = (0..values.len()).filter(differ);
    let first = wrong.next()?;
    let more = wrong.count();
    Some(format!("{name}[{first}]: expected {}, got {}; {more} others", values[first], numbers[first]))
}

fn doubled(tensor: &Tensor) -> Tensor {
    let bytes: Vec<u8> = numbers(tensor).iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor::from_le_bytes(Dtype::F64, tensor.shape(), &bytes).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let bytes = tensor.as_bytes();
    match tensor.dtype() {
        Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
        Dtype::I64 => {
            bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect()
        }
        Dtype::I32 => {
            bytes.chunks_exact(4).map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect()
        }
        Dtype::Bool => bytes.iter().map(|b| f64::from(*b)).collect(),
        _ => golden::f32s(tensor).into_iter().map(f64::from).collect(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
