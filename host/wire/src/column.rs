//! [`Builder`]: one input's column, filled value by value.

use crate::{Column, ColumnDtype, Dim, Dtype, Field, Numeric, Values};

use super::quoted;

/// A value as it came, before its column decides what it makes of it.
#[derive(Clone, Copy, Debug)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
}

impl Scalar<'_> {
    pub fn show(self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Unsigned(value) => value.to_string(),
            Self::Signed(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) => quoted(text),
        }
    }
}

/// Collects one input's values, row-major.
pub(super) struct Builder<'a> {
    field: &'a Field,
    dtype: Dtype,
    data: Vec<u8>,
    text: Vec<Option<String>>,
    text_bytes: usize,
    rows: u32,
    /// The shape of an instance: the signature's, and the first instance's where that is open.
    shape: Vec<Option<u32>>,
    signed: &'a [Dim],
}

impl<'a> Builder<'a> {
    pub fn new(field: &'a Field, dtype: Dtype, signed: &'a [Dim]) -> Self {
        let shape = open(signed);
        Self { field, dtype, data: Vec::new(), text: Vec::new(), text_bytes: 0, rows: 0, shape, signed }
    }

    pub fn field(&self) -> &'a Field {
        self.field
    }

    /// How many axes one instance has.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The size that axis `axis` must have, once it is known.
    pub fn axis(&self, axis: usize) -> Option<u32> {
        self.shape.get(axis).copied().flatten()
    }

    /// Fixes an open axis by the first instance that shows it.
    pub fn settle(&mut self, axis: usize, size: u32) {
        if let Some(open) = self.shape.get_mut(axis) {
            open.get_or_insert(size);
        }
    }

    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Bytes that its values take.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.text_bytes + self.text.len() * size_of::<Option<String>>()
    }

    /// Forgets what came after the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        if rows == 0 {
            self.shape = open(self.signed);
        }
        let row: usize = self.shape.iter().map(|axis| axis.unwrap_or(0) as usize).product();
        let size = column_dtype(self.dtype).map_or(0, ColumnDtype::size_bytes);
        self.data.truncate(rows * row * size);
        for text in self.text.drain((rows * row).min(self.text.len())..).flatten() {
            self.text_bytes -= text.len();
        }
        self.rows = self.rows.min(u32::try_from(rows).unwrap_or(u32::MAX));
    }

    /// Fills a whole instance with missing values.
    ///
    /// # Errors
    /// What was expected, where a value may not be missing or the shape is still open.
    pub fn push_missing(&mut self) -> Result<(), String> {
        let count = self.shape.iter().try_fold(1u32, |product, axis| product.checked_mul((*axis)?));
        for _ in 0..count.ok_or_else(|| self.expected())? {
            self.push(Scalar::Null)?;
        }
        Ok(())
    }

    /// Adds one value.
    ///
    /// # Errors
    /// `expected …, got …`.
    pub fn push(&mut self, value: Scalar<'_>) -> Result<(), String> {
        if matches!(value, Scalar::Null) {
            return self.push_null();
        }
        match self.dtype {
            Dtype::String => {
                let Scalar::Text(text) = value else { return Err(self.mismatch(value)) };
                if !self.field.labels.is_empty() && !self.field.labels.iter().any(|label| label == text) {
                    return Err(format!(
                        "expected one of {}, got {}",
                        self.field.labels.join(", "),
                        quoted(text)
                    ));
                }
                self.text_bytes += text.len();
                self.text.push(Some(text.to_owned()));
            }
            Dtype::Bool => {
                let Scalar::Bool(truth) = value else { return Err(self.mismatch(value)) };
                self.data.push(u8::from(truth));
            }
            Dtype::F16 | Dtype::F32 | Dtype::F64 => self.push_float(value)?,
            _ => self.push_integer(value)?,
        }
        Ok(())
    }

    fn push_null(&mut self) -> Result<(), String> {
        if !self.field.missing {
            return Err(self.mismatch(Scalar::Null));
        }
        match self.dtype {
            Dtype::String => self.text.push(None),
            Dtype::F16 => self.data.extend(half::f16::NAN.to_le_bytes()),
            Dtype::F32 => self.data.extend(f32::NAN.to_le_bytes()),
            Dtype::F64 => self.data.extend(f64::NAN.to_le_bytes()),
            _ => {
                return Err(format!(
                    "expected {} (only floats and strings can be missing), got null",
                    self.expects()
                ));
            }
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a float column rounds to the nearest"
    )]
    fn push_float(&mut self, value: Scalar<'_>) -> Result<(), String> {
        let number = match value {
            Scalar::Unsigned(value) => value as f64,
            Scalar::Signed(value) => value as f64,
            Scalar::Float(value) => value,
            _ => return Err(self.mismatch(value)),
        };
        self.in_range(number, value)?;
        let fits = match self.dtype {
            Dtype::F16 => {
                let rounded = half::f16::from_f64(number);
                self.data.extend(rounded.to_le_bytes());
                rounded.is_finite()
            }
            Dtype::F32 => {
                let rounded = number as f32;
                self.data.extend(rounded.to_le_bytes());
                rounded.is_finite()
            }
            _ => {
                self.data.extend(number.to_le_bytes());
                number.is_finite()
            }
        };
        if fits {
            Ok(())
        } else {
            Err(format!("expected a number that {} can hold, got {}", self.dtype.name(), value.show()))
        }
    }

    fn push_integer(&mut self, value: Scalar<'_>) -> Result<(), String> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and below ±2^53, from where two integers share a double"
        )]
        let number = match value {
            Scalar::Unsigned(value) => i128::from(value),
            Scalar::Signed(value) => i128::from(value),
            Scalar::Float(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => {
                value as i128
            }
            _ => return Err(self.mismatch(value)),
        };
        #[expect(clippy::cast_precision_loss, reason = "a range's ends are doubles")]
        self.in_range(number as f64, value)?;
        let misfit =
            |_| format!("expected an integer that {} can hold, got {}", self.dtype.name(), value.show());
        match self.dtype {
            Dtype::U8 => self.data.extend(u8::try_from(number).map_err(misfit)?.to_le_bytes()),
            Dtype::I8 => self.data.extend(i8::try_from(number).map_err(misfit)?.to_le_bytes()),
            Dtype::I16 => self.data.extend(i16::try_from(number).map_err(misfit)?.to_le_bytes()),
            Dtype::I32 => self.data.extend(i32::try_from(number).map_err(misfit)?.to_le_bytes()),
            _ => self.data.extend(i64::try_from(number).map_err(misfit)?.to_le_bytes()),
        }
        Ok(())
    }

    fn in_range(&self, number: f64, value: Scalar<'_>) -> Result<(), String> {
        match self.field.range {
            Some([low, high]) if !(low <= number && number <= high) => {
                let unit = self.field.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
                Err(format!("expected {low} to {high}{unit}, got {}", value.show()))
            }
            _ => Ok(()),
        }
    }

    fn mismatch(&self, value: Scalar<'_>) -> String {
        format!("expected {}, got {}", self.expects(), value.show())
    }

    /// What one value has to be.
    pub fn expects(&self) -> &'static str {
        match self.dtype {
            Dtype::String => "a string",
            Dtype::Bool => "true or false",
            Dtype::F16 | Dtype::F32 | Dtype::F64 => "a number",
            _ => "an integer",
        }
    }

    /// What one instance has to be.
    pub fn expected(&self) -> String {
        format!("expected {}", self.field.type_name())
    }

    pub fn finish(self) -> Column {
        let mut shape = Vec::with_capacity(1 + self.shape.len());
        shape.push(self.rows);
        // An axis that no instance has shown is empty.
        shape.extend(self.shape.iter().map(|axis| axis.unwrap_or(0)));
        let values = match column_dtype(self.dtype) {
            None => Values::Text(self.text),
            Some(dtype) => Values::Numeric(Numeric { dtype, data: self.data }),
        };
        Column { name: self.field.name.clone(), shape, values }
    }
}

/// The signature's axes, before an instance has shown the size of those that are open.
fn open(signed: &[Dim]) -> Vec<Option<u32>> {
    let axis = |dim: &Dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbol(_) => None,
    };
    signed.iter().map(axis).collect()
}

/// The contract's dtype; `None` for strings.
pub fn column_dtype(dtype: Dtype) -> Option<ColumnDtype> {
    Some(match dtype {
        Dtype::Bool => ColumnDtype::Bool,
        Dtype::U8 => ColumnDtype::U8,
        Dtype::I8 => ColumnDtype::I8,
        Dtype::I16 => ColumnDtype::I16,
        Dtype::I32 => ColumnDtype::I32,
        Dtype::I64 => ColumnDtype::I64,
        Dtype::F16 => ColumnDtype::F16,
        Dtype::F32 => ColumnDtype::F32,
        Dtype::F64 => ColumnDtype::F64,
        Dtype::String => return None,
    })
}
