//! What the table steps refuse, and what they say: step, columns, fault and the whole message.

use ampoule_guest::table::{Step, Table};
use ampoule_guest::{Elements, Fault, Tensor};
use serde_json::{Value, json};

/// A table of two instances with one column of each kind.
fn table() -> Table {
    let mut table = Table::new();
    let texts = [Some("12".to_owned()), None].to_vec();
    let columns = [
        ("float", Tensor::new(&[2], vec![1.5f64, f64::NAN])),
        ("single", Tensor::new(&[2], vec![-1f32, f32::INFINITY])),
        ("int", Tensor::new(&[2], vec![300i64, 16_777_217])),
        ("byte", Tensor::new(&[2], vec![1u8, 2])),
        ("matrix", Tensor::new(&[2, 3], vec![0f64, 1.0, 2.0, 3.0, 4.0, 1e300])),
        ("text", Tensor::from_elements(&[2], Elements::String(texts))),
        (
            "word",
            Tensor::from_elements(&[2], Elements::String(vec![Some("ja".into()), Some("é".repeat(50))])),
        ),
    ];
    for (name, tensor) in columns {
        table.insert(name, tensor.expect("a tensor")).expect("a new name");
    }
    table
}

struct Case {
    step: Value,
    fault: Fault,
    message: &'static str,
}

fn caller(step: Value, message: &'static str) -> Case {
    Case { step, fault: Fault::Caller, message }
}

fn model(step: Value, message: &'static str) -> Case {
    Case { step, fault: Fault::Model, message }
}

#[test]
fn a_value_that_cannot_go_through_is_named_with_its_instance() {
    for Case { step, fault, message } in [
        caller(
            json!({"cast": {"columns": ["byte", "float"], "dtype": "i64"}}),
            "instance 0: column \"float\": expected a whole number in -9223372036854775808..=9223372036854775807 (i64), got 1.5",
        ),
        caller(
            json!({"cast": {"columns": ["int"], "dtype": "u8"}}),
            "instance 0: column \"int\": expected a whole number in 0..=255 (u8), got 300",
        ),
        caller(
            json!({"cast": {"columns": ["int"], "dtype": "f32"}}),
            "instance 1: column \"int\": expected a number in -3.4e38..=3.4e38, integers exactly (f32), got 16777217",
        ),
        caller(
            json!({"cast": {"columns": ["matrix"], "dtype": "f32"}}),
            "instance 1: column \"matrix\"[2]: expected a number in -3.4e38..=3.4e38, integers exactly (f32), got 1e300",
        ),
        caller(
            json!({"cast": {"columns": ["byte"], "dtype": "bool"}}),
            "instance 1: column \"byte\": expected 0 or 1 (bool), got 2",
        ),
        caller(
            json!({"cast": {"columns": ["float"], "dtype": "f32"}}),
            "instance 1: column \"float\": expected a number in -3.4e38..=3.4e38, integers exactly (f32), got a missing value",
        ),
        caller(
            json!({"cast": {"columns": ["float"], "dtype": "string"}}),
            "instance 1: column \"float\": expected a value, got a missing value",
        ),
        caller(
            json!({"cast": {"columns": ["text"], "dtype": "f64"}}),
            "instance 1: column \"text\": expected a number, integers exactly (f64), got a missing value",
        ),
        caller(
            json!({"cast": {"columns": ["word"], "dtype": "f64"}}),
            "instance 0: column \"word\": expected a number, integers exactly (f64), got \"ja\"",
        ),
        caller(
            json!({"standardise": {"columns": ["single"], "mean": [0]}}),
            "instance 1: column \"single\": expected a finite number, got inf",
        ),
        caller(
            json!({"min-max": {"columns": ["float"], "min": [0], "max": [1]}}),
            "instance 1: column \"float\": expected a finite number, got a missing value",
        ),
        caller(
            json!({"log1p": {"columns": ["matrix", "single"]}}),
            "instance 0: column \"single\": expected a number above -1, got -1.0",
        ),
        caller(
            json!({"clip": {"columns": ["float"], "min": 0}}),
            "instance 1: column \"float\": expected a number, got a missing value",
        ),
        caller(
            json!({"bin": {"column": "float", "edges": [0, 1]}}),
            "instance 1: column \"float\": expected a number, got a missing value",
        ),
        caller(
            json!({"one-hot": {"column": "text", "categories": ["12"]}}),
            "instance 1: column \"text\": expected one of \"12\", got a missing value",
        ),
        caller(
            json!({"one-hot": {"column": "word", "categories": ["ja", "b", "c", "d", "e", "f", "g", "h", "i"]}}),
            "instance 1: column \"word\": expected one of \"ja\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", 1 more, \
             got \"éééééééééééééééééééééééééééééééééééééééé\"…",
        ),
        caller(
            json!({"ordinal": {"column": "int", "categories": [300, 2.5]}}),
            "instance 1: column \"int\": expected one of 300, 2.5, got 16777217",
        ),
        caller(
            json!({"stack": {"columns": ["byte", "float"], "name": "f"}}),
            "instance 1: column \"float\": expected a number in -3.4e38..=3.4e38, integers exactly (f32), got a missing value",
        ),
        caller(
            json!({"stack": {"columns": ["byte", "matrix"], "name": "f", "dtype": "f32"}}),
            "instance 1: column \"matrix\"[2]: expected a number in -3.4e38..=3.4e38, integers exactly (f32), got 1e300",
        ),
    ] {
        let parsed: Step = serde_json::from_value(step.clone()).expect("a step");
        parsed.check().expect("nothing wrong before there are values");
        let failure = parsed.apply(&mut table()).expect_err("a value is refused");
        assert_eq!((failure.fault, failure.to_string().as_str()), (fault, message), "{step}");
    }
}

#[test]
fn columns_that_do_not_suit_the_step_are_the_models_fault() {
    for Case { step, fault, message } in [
        model(
            json!({"select": {"columns": ["byte", "age"]}}),
            "a column isn't there: expected \"age\", got \"byte\", \"single\", \"int\", \"float\", \"matrix\", \"text\", \"word\"",
        ),
        model(
            json!({"rename": {"columns": {"byte": "int"}}}),
            "step \"rename\": columns: expected each name once, got \"int\" twice",
        ),
        model(
            json!({"standardise": {"columns": ["matrix"], "mean": [1, 2]}}),
            "step \"standardise\": mean: expected 3 values, got 2 values",
        ),
        model(
            json!({"log1p": {"columns": ["text"]}}),
            "column \"text\" is no number (cast or encode it first): expected a numeric dtype, got string[2]",
        ),
        model(
            json!({"clip": {"columns": ["byte"], "min": 0.5}}),
            "step \"clip\": min: expected a value of column \"byte\", u8, got 0.5",
        ),
        model(
            json!({"impute": {"columns": ["matrix"], "values": [0, 0]}}),
            "step \"impute\": values: expected at least 3 values, got 2 values",
        ),
        model(
            json!({"impute": {"columns": ["byte"], "values": [0, 0]}}),
            "step \"impute\": values: expected 1 values, got 2 values",
        ),
        model(
            json!({"impute": {"columns": ["text"], "values": [0]}}),
            "step \"impute\": values: expected text for column \"text\", string, got 0",
        ),
        model(
            json!({"impute": {"columns": ["float"], "values": ["zero"]}}),
            "step \"impute\": values: expected a number for column \"float\", f64, got \"zero\"",
        ),
        model(
            json!({"one-hot": {"column": "text", "categories": [12]}}),
            "step \"one-hot\": categories: expected values of column \"text\", string, got 12",
        ),
        model(
            json!({"ordinal": {"column": "byte", "categories": ["1"]}}),
            "step \"ordinal\": categories: expected values of column \"byte\", u8, got \"1\"",
        ),
        model(
            json!({"one-hot": {"column": "matrix", "categories": [1]}}),
            "column \"matrix\": expected one value per instance for step \"one-hot\", got f64[2, 3]",
        ),
        model(
            json!({"stack": {"columns": ["byte", "text"], "name": "f"}}),
            "column \"text\" is no number (cast or encode it first): expected a numeric dtype, got string[2]",
        ),
        model(json!({"stack": {"columns": ["byte"], "name": "int"}}), "column \"int\" is there already"),
    ] {
        let parsed: Step = serde_json::from_value(step.clone()).expect("a step");
        parsed.check().expect("nothing wrong before there are columns");
        let failure = parsed.apply(&mut table()).expect_err("a column is refused");
        assert_eq!((failure.fault, failure.to_string().as_str()), (fault, message), "{step}");
    }
}

#[test]
fn a_fault_of_the_configuration_shows_before_any_instance() {
    for (step, message) in [
        (
            json!({"select": {"columns": []}}),
            "step \"select\": columns: expected at least one name, got none",
        ),
        (
            json!({"drop": {"columns": ["a", "b", "a"]}}),
            "step \"drop\": columns: expected each name once, got \"a\" twice",
        ),
        (
            json!({"rename": {"columns": {"a": "c", "b": "c"}}}),
            "step \"rename\": columns: expected each name once, got \"c\" twice",
        ),
        (
            json!({"cast": {"columns": ["a"], "dtype": "i32", "missing": "keep"}}),
            "step \"cast\": missing = \"keep\": expected f16, f32, f64 or string, got i32",
        ),
        (
            json!({"standardise": {"columns": ["a"], "mean": [1], "scale": [0]}}),
            "step \"standardise\": scale: expected no zero, got 0 at 0",
        ),
        (
            json!({"standardise": {"columns": ["a"], "mean": [1, 2], "scale": [1]}}),
            "step \"standardise\": scale: expected 2 values, got 1 values",
        ),
        (
            json!({"standardise": {"columns": ["a"]}}),
            "step \"standardise\": mean, scale: expected one of them, got neither",
        ),
        (
            json!({"min-max": {"columns": ["a"], "min": [1], "max": [0]}}),
            "step \"min-max\": max at 0: expected at least min, 1, got 0",
        ),
        (
            json!({"min-max": {"columns": ["a"], "min": [1], "max": [2], "range": [1, 1]}}),
            "step \"min-max\": range: expected low < high, got [1, 1]",
        ),
        (
            json!({"impute": {"columns": ["a"], "values": [null]}}),
            "step \"impute\": values: expected finite numbers or text, got null at 0",
        ),
        (json!({"clip": {"columns": ["a"]}}), "step \"clip\": min, max: expected one of them, got neither"),
        (
            json!({"clip": {"columns": ["a"], "min": 2, "max": 1}}),
            "step \"clip\": min, max: expected min <= max, got 2, 1",
        ),
        (json!({"bin": {"column": "a", "edges": [1]}}), "step \"bin\": edges: expected at least 2, got 1"),
        (
            json!({"bin": {"column": "a", "edges": [1, 3, 3]}}),
            "step \"bin\": edges: expected ascending numbers, got 3, 3",
        ),
        (
            json!({"one-hot": {"column": "a", "categories": []}}),
            "step \"one-hot\": categories: expected at least one, got none",
        ),
        (
            json!({"one-hot": {"column": "a", "categories": ["1", 2]}}),
            "step \"one-hot\": categories: expected all text or all numbers, got both",
        ),
        (
            json!({"one-hot": {"column": "a", "categories": [1, 1.0]}}),
            "step \"one-hot\": categories: expected each once, got one twice",
        ),
        (
            json!({"one-hot": {"column": "a", "categories": [1], "drop": 1}}),
            "step \"one-hot\": drop: expected an index below 1, got 1",
        ),
        (
            json!({"one-hot": {"column": "a", "categories": [1], "dtype": "string"}}),
            "step \"one-hot\": dtype: expected a numeric one, got string",
        ),
        (
            json!({"ordinal": {"column": "a", "categories": [1], "unknown": {"value": -1}, "dtype": "u8"}}),
            "step \"ordinal\": unknown: expected a value of u8, got -1",
        ),
        (
            json!({"ordinal": {"column": "a", "categories": [1], "missing": {"value": null}, "dtype": "i64"}}),
            "step \"ordinal\": missing: expected a value of i64, got null",
        ),
        (
            json!({"ordinal": {"column": "a", "categories": [5, 6, 7], "dtype": "bool"}}),
            "step \"ordinal\": dtype: expected one that holds 0..3, got bool",
        ),
        (
            json!({"stack": {"columns": ["a"], "name": "f", "dtype": "string"}}),
            "step \"stack\": dtype: expected a numeric one, got string",
        ),
        (
            json!({"stack": {"columns": ["a"], "name": "f", "dtype": "i8", "missing": "keep"}}),
            "step \"stack\": missing = \"keep\": expected f16, f32 or f64, got i8",
        ),
    ] {
        let parsed: Step = serde_json::from_value(step.clone()).expect("a step");
        let failure = parsed.check().expect_err("a fault");
        assert_eq!((failure.fault, failure.to_string().as_str()), (Fault::Model, message), "{step}");
    }
}

#[test]
fn a_number_that_is_not_finite_is_no_parameter() {
    let step: Step =
        serde_json::from_value(json!({"standardise": {"columns": ["a"], "mean": [1]}})).expect("a step");
    let Step::Standardise(mut standardise) = step else { panic!("another step") };
    standardise.mean[0] = f64::NAN;
    let failure = standardise.check().expect_err("NaN");
    assert_eq!(failure.to_string(), "step \"standardise\": mean: expected finite numbers, got NaN at 0");
}

#[test]
fn an_unknown_field_or_step_is_refused() {
    for (step, said) in [
        (json!({"drop": {"columns": ["a"], "colums": []}}), "unknown field `colums`, expected `columns`"),
        (json!({"normalise": {}}), "unknown variant `normalise`"),
        (
            json!({"one-hot": {"column": "a", "categories": [1], "unknown": "drop"}}),
            "expected `error` or `ignore`",
        ),
    ] {
        let error = serde_json::from_value::<Step>(step).expect_err("refused").to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_table_refuses_what_is_no_column() {
    let mut table = table();
    for (name, tensor, message) in [
        ("byte", Tensor::new(&[2], vec![0u8, 0]), "column \"byte\" is there already"),
        (
            "new",
            Tensor::new(&[3], vec![0u8; 3]),
            "column \"new\" has another number of instances: expected 2, got 3",
        ),
        (
            "new",
            Tensor::new(&[], vec![0u8]),
            "column \"new\" is a scalar: expected a first axis that counts instances, got u8[]",
        ),
    ] {
        let failure = table.insert(name, tensor.expect("a tensor")).expect_err("refused");
        assert_eq!((failure.fault, failure.to_string().as_str()), (Fault::Model, message));
    }
    assert_eq!(table.len(), 7);
    assert_eq!(
        Table::new().get("x").expect_err("empty").to_string(),
        "a column isn't there: expected \"x\", got no columns"
    );
}

#[test]
fn axes_of_an_empty_batch_may_be_of_any_size() {
    let hostile = || {
        let tensor = Tensor::new(&[0, usize::MAX, usize::MAX], Vec::<f32>::new()).expect("no elements");
        Table::from_columns([("x".to_owned(), tensor)]).expect("a column")
    };
    for step in [
        json!({"standardise": {"columns": ["x"], "mean": [0]}}),
        json!({"impute": {"columns": ["x"], "values": [0]}}),
        json!({"cast": {"columns": ["x"], "dtype": "f64"}}),
        json!({"clip": {"columns": ["x"], "min": 0}}),
        json!({"stack": {"columns": ["x"], "name": "f"}}),
    ] {
        let step: Step = serde_json::from_value(step).expect("a step");
        // Answer or failure: neither a panic nor a great allocation.
        let _ = step.apply(&mut hostile());
    }
}
