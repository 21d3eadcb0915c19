//! What the result steps refuse, and what they say: the whole message, always the model's fault.

use ampoule_guest::results::Step;
use ampoule_guest::table::Table;
use ampoule_guest::{Elements, Fault, Tensor};
use serde_json::json;

/// The outputs of two instances.
fn outputs() -> Table {
    let mut table = Table::new();
    let columns = [
        ("scores", Tensor::new(&[2, 3], vec![0.1f32, 0.2, 0.7, 0.5, f32::NAN, 0.5])),
        ("good", Tensor::new(&[2, 3], vec![0.1f32, 0.2, 0.7, 0.5, 0.0, 0.5])),
        ("flat", Tensor::new(&[2], vec![0.5f64, f64::NAN])),
        ("class", Tensor::new(&[2], vec![1i64, 3])),
        ("negative", Tensor::new(&[2, 1], vec![0i64, -1])),
        ("half", Tensor::new(&[2], vec![1.0f32, 1.5])),
        ("none", Tensor::new(&[2, 0], Vec::<f32>::new())),
        ("text", Tensor::from_elements(&[2], Elements::String(vec![None, None]))),
    ];
    for (name, tensor) in columns {
        table.insert(name, tensor.expect("a tensor")).expect("a new name");
    }
    table
}

#[test]
fn outputs_that_do_not_suit_the_step_are_the_models_fault() {
    for (step, message) in [
        (
            json!({"argmax": {"output": "scores"}}),
            "instance 1: output \"scores\"[1]: expected a number, got NaN",
        ),
        (
            json!({"top-k": {"output": "scores", "k": 1}}),
            "instance 1: output \"scores\"[1]: expected a number, got NaN",
        ),
        (
            json!({"threshold": {"output": "flat", "at": 0.5}}),
            "instance 1: output \"flat\": expected a number, got NaN",
        ),
        (
            json!({"labels": {"output": "class", "labels": ["a", "b", "c"]}}),
            "instance 1: output \"class\": expected a class index in 0..3, got 3",
        ),
        (
            json!({"labels": {"output": "negative", "labels": ["a"]}}),
            "instance 1: output \"negative\": expected a class index in 0..1, got -1",
        ),
        (
            json!({"labels": {"output": "half", "labels": ["a", "b"]}}),
            "instance 1: output \"half\": expected a class index in 0..2, got 1.5",
        ),
        (
            json!({"labels": {"output": "flat", "labels": ["a"]}}),
            "instance 0: output \"flat\": expected a class index in 0..1, got 0.5",
        ),
        (
            json!({"labels": {"output": "text", "labels": ["a"]}}),
            "step \"labels\": output: expected class indices, got string[2]",
        ),
        (
            json!({"softmax": {"output": "flat"}}),
            "step \"softmax\": axis: expected an axis of f64[2] behind the instances, got -1",
        ),
        (
            json!({"softmax": {"output": "good", "axis": 2}}),
            "step \"softmax\": axis: expected an axis of f32[2, 3] behind the instances, got 2",
        ),
        (
            json!({"argmax": {"output": "good", "axis": -2}}),
            "step \"argmax\": axis: expected an axis of f32[2, 3] behind the instances, got -2",
        ),
        (
            json!({"argmax": {"output": "good", "axis": -2147483648}}),
            "step \"argmax\": axis: expected an axis of f32[2, 3] behind the instances, got -2147483648",
        ),
        (
            json!({"argmax": {"output": "none"}}),
            "step \"argmax\": axis: expected at least one element, got f32[2, 0]",
        ),
        (
            json!({"softmax": {"output": "negative"}}),
            "step \"softmax\": output: expected f16, f32 or f64, got i64[2, 1]",
        ),
        (
            json!({"top-k": {"output": "good", "k": 4}}),
            "step \"top-k\": k: expected at most 3 (classes of f32[2, 3]), got 4",
        ),
        (
            json!({"top-k": {"output": "good", "k": 1, "labels": ["a", "b"]}}),
            "step \"top-k\": labels: expected 3 (classes of f32[2, 3]), got 2",
        ),
        (
            json!({"top-k": {"output": "flat", "k": 1}}),
            "step \"top-k\": output: expected a shape [N, C], got f64[2]",
        ),
        (json!({"top-k": {"output": "good", "k": 1, "score": "good"}}), "column \"good\" is there already"),
        (
            json!({"probability-map": {"output": "good", "labels": ["a", "b"]}}),
            "step \"probability-map\": output: expected a shape [N, 2] (labels), got f32[2, 3]",
        ),
        (
            json!({"probability-map": {"output": "good", "labels": ["a", "b", "flat"]}}),
            "column \"flat\" is there already",
        ),
        (json!({"argmax": {"output": "good", "to": "class"}}), "column \"class\" is there already"),
        (
            json!({"sigmoid": {"output": "text"}}),
            "column \"text\" is no number (cast or encode it first): expected a numeric dtype, got string[2]",
        ),
        (
            json!({"cast": {"columns": ["half"], "dtype": "i64"}}),
            "instance 1: column \"half\": expected a whole number in -9223372036854775808..=9223372036854775807 (i64), got 1.5",
        ),
        (
            json!({"round": {"output": "logits", "digits": 2}}),
            "a column isn't there: expected \"logits\", got \"scores\", \"good\", \"flat\", \"class\", \"negative\", \"half\", \
             \"none\", \"text\"",
        ),
    ] {
        let parsed: Step = serde_json::from_value(step.clone()).expect("a step");
        parsed.check().expect("nothing wrong before there are outputs");
        let failure = parsed.apply(&mut outputs()).expect_err("refused");
        assert_eq!((failure.fault, failure.to_string().as_str()), (Fault::Model, message), "{step}");
    }
}

#[test]
fn a_fault_of_the_configuration_shows_before_any_output() {
    for (step, message) in [
        (
            json!({"softmax": {"output": "s", "axis": 0}}),
            "step \"softmax\": axis: expected an axis behind the instances, got 0",
        ),
        (
            json!({"argmax": {"output": "s", "axis": 0}}),
            "step \"argmax\": axis: expected an axis behind the instances, got 0",
        ),
        (json!({"top-k": {"output": "s", "k": 0}}), "step \"top-k\": k: expected at least 1, got 0"),
        (
            json!({"top-k": {"output": "s", "k": 2, "labels": ["a"]}}),
            "step \"top-k\": k: expected at most 1 (labels), got 2",
        ),
        (
            json!({"top-k": {"output": "s", "k": 2, "label": "x", "score": "x"}}),
            "step \"top-k\": label, score: expected two names, got \"x\" twice",
        ),
        (
            json!({"threshold": {"output": "s", "at": 0.5, "dtype": "f32"}}),
            "step \"threshold\": dtype: expected bool or u8, got f32",
        ),
        (
            json!({"labels": {"output": "s", "labels": []}}),
            "step \"labels\": labels: expected at least one, got none",
        ),
        (
            json!({"probability-map": {"output": "s", "labels": ["a", "a"]}}),
            "step \"probability-map\": labels: expected each once, got \"a\" twice",
        ),
        (json!({"round": {"output": "s", "digits": 16}}), "step \"round\": digits: expected 0..=15, got 16"),
    ] {
        let parsed: Step = serde_json::from_value(step.clone()).expect("a step");
        let failure = parsed.check().expect_err("a fault");
        assert_eq!((failure.fault, failure.to_string().as_str()), (Fault::Model, message), "{step}");
    }
}
