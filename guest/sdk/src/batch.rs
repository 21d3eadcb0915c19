//! [`Batch`]: the instances of a call or their predictions, and the way across the sandbox's wall.

use bytemuck::{cast_slice, pod_collect_to_vec};

use crate::bindings::ampoule::model::types as wit;
use crate::table::Table;
use crate::{Elements, Failure, Fault, Tensor};

/// The instances of one call, or their predictions, in one of three forms.
#[derive(Clone, Debug, PartialEq)]
pub enum Batch {
    /// One JSON text per instance.
    Json(Vec<String>),
    /// Named columns; the first axis of each counts instances.
    Columns(Table),
    /// One blob per instance.
    Media(Vec<Media>),
}

/// One picture, document or other blob.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// In lower case and without parameters, such as `image/png`.
    pub content_type: String,
    pub bytes: Vec<u8>,
    /// The text of one JSON object about the blob; in a prediction it reaches the caller.
    pub metadata: Option<String>,
}

impl Batch {
    /// How many instances are in it.
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Columns(table) => table.rows(),
            Self::Media(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The columns.
    ///
    /// # Errors
    /// A [`Fault::Caller`] failure where the instances have another form.
    pub fn into_columns(self) -> Result<Table, Failure> {
        match self {
            Self::Columns(table) => Ok(table),
            other => Err(other.unexpected("columns")),
        }
    }

    /// The blobs.
    ///
    /// # Errors
    /// As [`Batch::into_columns`].
    pub fn into_media(self) -> Result<Vec<Media>, Failure> {
        match self {
            Self::Media(items) => Ok(items),
            other => Err(other.unexpected("media")),
        }
    }

    /// The JSON texts.
    ///
    /// # Errors
    /// As [`Batch::into_columns`].
    pub fn into_json(self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Json(items) => Ok(items),
            other => Err(other.unexpected("JSON")),
        }
    }

    fn unexpected(&self, expected: &str) -> Failure {
        let actual = match self {
            Self::Json(_) => "JSON",
            Self::Columns(_) => "columns",
            Self::Media(_) => "media",
        };
        Failure::caller("the instances have the wrong form").expected(expected).actual(actual)
    }

    pub(crate) fn from_wit(batch: wit::Batch) -> Result<Self, Failure> {
        Ok(match batch {
            wit::Batch::Json(items) => Self::Json(items),
            wit::Batch::Columns(columns) => {
                let mut table = Table::new();
                for column in columns {
                    let shape: Vec<usize> = column.shape.iter().map(|&axis| axis as usize).collect();
                    let elements = match column.values {
                        wit::Values::Numeric(numeric) => elements(numeric.dtype, &numeric.data)?,
                        wit::Values::Text(items) => Elements::String(items),
                    };
                    table.insert(column.name, Tensor::from_elements(&shape, elements)?)?;
                }
                Self::Columns(table)
            }
            wit::Batch::Media(items) => Self::Media(
                items
                    .into_iter()
                    .map(|item| Media {
                        content_type: item.content_type,
                        bytes: item.bytes,
                        metadata: item.metadata,
                    })
                    .collect(),
            ),
        })
    }

    pub(crate) fn into_wit(self) -> Result<wit::Batch, Failure> {
        Ok(match self {
            Self::Json(items) => wit::Batch::Json(items),
            Self::Columns(table) => {
                let column = |(name, tensor): (String, Tensor)| {
                    let shape = axes(tensor.shape())?;
                    let values = match tensor.into_elements() {
                        Elements::String(items) => wit::Values::Text(items),
                        elements => wit::Values::Numeric(numeric(elements)),
                    };
                    Ok(wit::Column { name, shape, values })
                };
                wit::Batch::Columns(table.into_columns().map(column).collect::<Result<_, Failure>>()?)
            }
            Self::Media(items) => wit::Batch::Media(
                items
                    .into_iter()
                    .map(|item| wit::Media {
                        content_type: item.content_type,
                        bytes: item.bytes,
                        metadata: item.metadata,
                    })
                    .collect(),
            ),
        })
    }
}

/// A shape as the contract and `wasi:nn` write it.
pub(crate) fn axes(shape: &[usize]) -> Result<Vec<u32>, Failure> {
    let axis = |&axis: &usize| {
        u32::try_from(axis).map_err(|_| {
            Failure::model("an axis is too long").expected("at most 4294967295").actual(axis.to_string())
        })
    };
    shape.iter().map(axis).collect()
}

fn elements(dtype: wit::Dtype, data: &[u8]) -> Result<Elements, Failure> {
    // `pod_collect_to_vec` rounds up: bytes that don't fill their last element are caught here.
    let size = match dtype {
        wit::Dtype::Bool | wit::Dtype::U8 | wit::Dtype::I8 => 1,
        wit::Dtype::I16 | wit::Dtype::F16 => 2,
        wit::Dtype::I32 | wit::Dtype::F32 => 4,
        wit::Dtype::I64 | wit::Dtype::F64 => 8,
    };
    if !data.len().is_multiple_of(size) {
        return Err(Failure::model("a column's bytes are no whole number of elements")
            .expected(format!("a multiple of {size} bytes"))
            .actual(format!("{} bytes", data.len())));
    }
    Ok(match dtype {
        wit::Dtype::Bool => Elements::Bool(data.iter().map(|&byte| byte != 0).collect()),
        wit::Dtype::U8 => Elements::U8(data.to_vec()),
        wit::Dtype::I8 => Elements::I8(pod_collect_to_vec(data)),
        wit::Dtype::I16 => Elements::I16(pod_collect_to_vec(data)),
        wit::Dtype::I32 => Elements::I32(pod_collect_to_vec(data)),
        wit::Dtype::I64 => Elements::I64(pod_collect_to_vec(data)),
        wit::Dtype::F16 => Elements::F16(pod_collect_to_vec(data)),
        wit::Dtype::F32 => Elements::F32(pod_collect_to_vec(data)),
        wit::Dtype::F64 => Elements::F64(pod_collect_to_vec(data)),
    })
}

fn numeric(elements: Elements) -> wit::Numeric {
    let (dtype, data) = match elements {
        Elements::Bool(items) => (wit::Dtype::Bool, items.into_iter().map(u8::from).collect()),
        Elements::U8(items) => (wit::Dtype::U8, items),
        Elements::I8(items) => (wit::Dtype::I8, cast_slice(&items).to_vec()),
        Elements::I16(items) => (wit::Dtype::I16, cast_slice(&items).to_vec()),
        Elements::I32(items) => (wit::Dtype::I32, cast_slice(&items).to_vec()),
        Elements::I64(items) => (wit::Dtype::I64, cast_slice(&items).to_vec()),
        Elements::F16(items) => (wit::Dtype::F16, cast_slice(&items).to_vec()),
        Elements::F32(items) => (wit::Dtype::F32, cast_slice(&items).to_vec()),
        Elements::F64(items) => (wit::Dtype::F64, cast_slice(&items).to_vec()),
        Elements::String(_) => unreachable!("strings travel as text"),
    };
    wit::Numeric { dtype, data }
}

impl Failure {
    pub(crate) fn into_wit(self) -> wit::Failure {
        wit::Failure {
            fault: match self.fault {
                Fault::Caller => wit::Fault::Caller,
                Fault::Model => wit::Fault::Model,
            },
            instance: self.instance,
            message: self.message,
            expected: self.expected,
            actual: self.actual,
        }
    }
}
