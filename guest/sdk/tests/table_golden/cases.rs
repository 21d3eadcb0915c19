//! Reads `cases.jsonl` (`golden.py` says how it is written) and runs its cases.

use ampoule_guest::table::Table;
use ampoule_guest::{Dtype, Elements, Failure, Fault, Tensor};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case<Step> {
    name: String,
    steps: Vec<Step>,
    input: Vec<Column>,
    expected: Option<Vec<Column>>,
    #[serde(default)]
    atol: f64,
    #[serde(default)]
    rtol: f64,
    fault: Option<String>,
    failure: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Column {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    items: Vec<Value>,
}

/// Runs every case of `lines` and fails with the list of those that don't hold.
pub fn run<Step: for<'de> Deserialize<'de>>(
    lines: &str,
    at_least: usize,
    apply: impl Fn(&[Step], &mut Table) -> Result<(), Failure>,
) {
    let mut wrong = Vec::new();
    for line in lines.lines() {
        let case: Case<Step> = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if let Err(why) = case.holds(&apply) {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(lines.lines().count() >= at_least, "only {} cases", lines.lines().count());
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

impl<Step> Case<Step> {
    fn holds(&self, apply: impl Fn(&[Step], &mut Table) -> Result<(), Failure>) -> Result<(), String> {
        let columns = self.input.iter().map(|column| (column.name.clone(), column.tensor()));
        let mut table = Table::from_columns(columns).expect("the input is a table");
        match (apply(&self.steps, &mut table), &self.failure, &self.expected) {
            (Ok(()), None, Some(expected)) => self.same(&table, expected),
            (Err(failure), Some(message), None) => {
                let fault = match failure.fault {
                    Fault::Caller => "caller",
                    Fault::Model => "model",
                };
                if failure.to_string() != *message || self.fault.as_deref() != Some(fault) {
                    return Err(format!("expected {message}, got {failure} ({fault})"));
                }
                Ok(())
            }
            (Ok(()), ..) => Err("expected a failure".to_owned()),
            (Err(failure), ..) => Err(failure.to_string()),
        }
    }

    fn same(&self, table: &Table, expected: &[Column]) -> Result<(), String> {
        let names: Vec<&str> = table.iter().map(|(name, _)| name).collect();
        let expected_names: Vec<&str> = expected.iter().map(|column| column.name.as_str()).collect();
        if names != expected_names {
            return Err(format!("expected columns {expected_names:?}, got {names:?}"));
        }
        for (column, (name, tensor)) in expected.iter().zip(table.iter()) {
            let expected = column.tensor();
            if expected.to_string() != tensor.to_string() {
                return Err(format!("{name}: expected {expected}, got {tensor}"));
            }
            if let Some(index) = self.differs(expected.elements(), tensor.elements()) {
                return Err(format!("{name}[{index}]: expected {:?}, got {tensor:?}", column.items[index]));
            }
        }
        Ok(())
    }

    /// The first element that isn't within the tolerance; integers, bools, f16 and strings must be equal.
    fn differs(&self, expected: &Elements, actual: &Elements) -> Option<usize> {
        let near = |expected: f64, actual: f64| {
            (expected.is_nan() && actual.is_nan())
                || expected == actual
                || (actual - expected).abs() <= self.atol + self.rtol * expected.abs()
        };
        match (expected, actual) {
            (Elements::F32(expected), Elements::F32(actual)) => {
                expected.iter().zip(actual).position(|(&e, &a)| !near(e.into(), a.into()))
            }
            (Elements::F64(expected), Elements::F64(actual)) => {
                expected.iter().zip(actual).position(|(&e, &a)| !near(e, a))
            }
            _ => (expected != actual).then_some(0),
        }
    }
}

impl Column {
    fn tensor(&self) -> Tensor {
        macro_rules! items {
            ($variant:ident, $read:expr) => {
                Elements::$variant(self.items.iter().map($read).collect())
            };
        }
        macro_rules! integers {
            ($variant:ident) => {
                items!($variant, |item| item
                    .as_i64()
                    .and_then(|item| item.try_into().ok())
                    .expect("in range"))
            };
        }
        let elements = match self.dtype {
            Dtype::Bool => items!(Bool, |item| item.as_bool().expect("a bool")),
            Dtype::U8 => integers!(U8),
            Dtype::I8 => integers!(I8),
            Dtype::I16 => integers!(I16),
            Dtype::I32 => integers!(I32),
            Dtype::I64 => integers!(I64),
            Dtype::F16 => integers!(F16),
            Dtype::F32 => items!(F32, |item| float(item) as f32),
            Dtype::F64 => items!(F64, float),
            Dtype::String => items!(String, |item| item.as_str().map(str::to_owned)),
        };
        Tensor::from_elements(&self.shape, elements).expect("as many items as the shape says")
    }
}

fn float(item: &Value) -> f64 {
    match item.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => item.as_f64().expect("a number"),
    }
}
