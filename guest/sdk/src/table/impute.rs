//! [`Impute`]: a value where there is none.

use serde::{Deserialize, Serialize};

use super::choose::check_columns;
use super::number::{Half, Number};
use super::scale::same_length;
use super::{Scalar, Table, fault, width};
use crate::{Dtype, Elements, Failure, Tensor, f16_to_f32};

/// Fills missing values: NaN in float columns, `none` in string columns. Other values, the dtype and
/// the shape stay, as with scikit-learn's `SimpleImputer`.
///
/// Integers and bools have no missing values and go through. Empty text is a value.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Impute {
    /// Each once.
    pub columns: Vec<String>,
    /// One per feature (`statistics_`): a finite number for numeric columns, text for string columns.
    /// Features are counted as by [`Standardise`](super::Standardise).
    pub values: Vec<Scalar>,
}

const STEP: &str = "impute";

impl Impute {
    /// # Errors
    /// A model failure for no columns, a column named twice, or a value that is itself missing.
    pub fn check(&self) -> Result<(), Failure> {
        check_columns(STEP, &self.columns)?;
        let missing = |value: &Scalar| match value {
            Scalar::None => true,
            Scalar::Number(number) => !number.is_finite(),
            _ => false,
        };
        match self.values.iter().position(missing) {
            Some(index) => Err(fault(STEP, "values")
                .expected("finite numbers or text")
                .actual(format!("{} at {index}", self.values[index]))),
            None => Ok(()),
        }
    }

    /// # Errors
    /// A model failure where a column isn't there, a value isn't of its dtype, or the values are not as
    /// many as the features.
    pub fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        let (mut next, mut features) = (0, 0usize);
        for name in &self.columns {
            let index = table.position(name, next)?;
            next = index + 1;
            let tensor = table.at(index).1;
            let end = features.saturating_add(width(tensor));
            let Some(values) = self.values.get(features..end) else {
                return Err(too_few(end, self.values.len()));
            };
            if let Some(filled) = plan(name, tensor, values)? {
                fill(&mut table.columns[index].tensor, &filled)?;
            }
            features = end;
        }
        same_length(STEP, "values", features, self.values.len())
    }
}

fn too_few(expected: usize, actual: usize) -> Failure {
    fault(STEP, "values").expected(format!("at least {expected} values")).actual(format!("{actual} values"))
}

/// What to write for each feature, checked against the column's dtype; `None` where nothing is missing.
enum Filling {
    Numbers(Vec<f64>),
    Texts(Vec<String>),
}

fn plan(name: &str, tensor: &Tensor, values: &[Scalar]) -> Result<Option<Filling>, Failure> {
    let wrong = |expected: &str, value: &Scalar| {
        fault(STEP, "values")
            .expected(format!("{expected} for column {name:?}, {}", tensor.dtype()))
            .actual(value.to_string())
    };
    let fits = |number: f64| match tensor.dtype() {
        Dtype::F16 => Half::from_f64(number).is_some(),
        Dtype::F32 => f32::from_f64(number).is_some(),
        _ => true,
    };
    for value in values {
        match (tensor.dtype(), value) {
            (Dtype::String, Scalar::Text(_)) => {}
            (Dtype::String, other) => return Err(wrong("text", other)),
            (_, value) if value.number().is_some_and(fits) => {}
            (_, other) => return Err(wrong("a number", other)),
        }
    }
    Ok(any_missing(tensor.elements()).then(|| match tensor.dtype() {
        Dtype::String => Filling::Texts(values.iter().map(Scalar::text).collect()),
        _ => Filling::Numbers(values.iter().filter_map(Scalar::number).collect()),
    }))
}

fn any_missing(elements: &Elements) -> bool {
    match elements {
        Elements::F16(items) => items.iter().any(|&bits| f16_to_f32(bits).is_nan()),
        Elements::F32(items) => items.iter().any(|item| item.is_nan()),
        Elements::F64(items) => items.iter().any(|item| item.is_nan()),
        Elements::String(items) => items.iter().any(Option::is_none),
        _ => false,
    }
}

/// Fills in place: most texts need no copy.
fn fill(tensor: &mut Tensor, filling: &Filling) -> Result<(), Failure> {
    let shape = tensor.shape().to_vec();
    let mut elements = std::mem::replace(tensor, Tensor::new(&[0], Vec::<u8>::new())?).into_elements();
    match (&mut elements, filling) {
        (Elements::F16(items), Filling::Numbers(values)) => {
            let halves = values.iter().filter_map(|&value| Half::from_f64(value)).collect();
            let Elements::F16(values) = Half::wrap(halves) else { return Ok(()) };
            each_missing(items, &values, |&bits| f16_to_f32(bits).is_nan());
        }
        (Elements::F32(items), Filling::Numbers(values)) => {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            each_missing(items, &values, |item| item.is_nan());
        }
        (Elements::F64(items), Filling::Numbers(values)) => each_missing(items, values, |item| item.is_nan()),
        (Elements::String(items), Filling::Texts(values)) => {
            for (item, value) in items.iter_mut().zip(values.iter().cycle()) {
                item.get_or_insert_with(|| value.clone());
            }
        }
        _ => {}
    }
    *tensor = Tensor::from_elements(&shape, elements)?;
    Ok(())
}

fn each_missing<T: Copy>(items: &mut [T], values: &[T], is_missing: impl Fn(&T) -> bool) {
    for (item, &value) in items.iter_mut().zip(values.iter().cycle()) {
        if is_missing(item) {
            *item = value;
        }
    }
}
