//! The contract's types on the host's side, generated from `guest/wit`: what crosses the sandbox's wall.

use crate::manifest::first_repeated;

#[cfg(not(target_family = "wasm"))]
mod bindings {
    #![allow(
        clippy::pedantic,
        unsafe_code,
        unused_qualifications,
        reason = "generated from the WIT by wasmtime's macro"
    )]
    wasmtime::component::bindgen!({
        inline: "
            package ampoule:wire;
            world wire {
                import ampoule:model/types@0.1.0;
            }
        ",
        path: ["../../guest/wit"],
        world: "ampoule:wire/wire",
    });
}

#[cfg(target_family = "wasm")]
mod bindings {
    #![allow(
        clippy::all,
        clippy::pedantic,
        unsafe_code,
        unused_qualifications,
        reason = "generated from the WIT by wit-bindgen's macro"
    )]
    wit_bindgen::generate!({
        inline: "
            package ampoule:wire;
            world wire {
                import ampoule:model/types@0.1.0;
            }
        ",
        path: ["../../guest/wit"],
        world: "ampoule:wire/wire",
        generate_all,
    });
}

pub use bindings::ampoule::model::types;
pub use types::{
    Batch, Column, Dtype as ColumnDtype, Failure, Fault as FailureFault, Media, Numeric, Values,
};

impl ColumnDtype {
    /// Bytes of one element.
    pub fn size_bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }
}

impl Failure {
    /// The whole of it as one sentence.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        if let Some(instance) = self.instance {
            text.push_str(&format!("instances[{instance}]: "));
        }
        text.push_str(&self.message);
        if let Some(expected) = &self.expected {
            text.push_str(&format!(": expected {expected}"));
        }
        if let Some(actual) = &self.actual {
            text.push_str(if self.expected.is_some() { ", got " } else { ": got " });
            text.push_str(actual);
        }
        text
    }
}

/// Axes of a column: as many as `NumPy` counts.
const MAX_AXES: usize = 64;

/// Empty arrays that the axes before an axis of size 0 may ask for: their brackets are text too.
const MAX_EMPTY: usize = 1 << 20;

impl Column {
    /// Checks that the shape and the values agree: what a predictor returns is not to be trusted.
    ///
    /// # Errors
    /// A sentence that names the column, what its shape asks for and what is there.
    pub fn check(&self) -> Result<(), String> {
        let elements =
            self.shape.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis as usize));
        let (expected, actual, unit) = match &self.values {
            Values::Numeric(numeric) => (
                elements.and_then(|n| n.checked_mul(numeric.dtype.size_bytes())),
                numeric.data.len(),
                "bytes",
            ),
            Values::Text(text) => (elements, text.len(), "strings"),
        };
        if !(1..=MAX_AXES).contains(&self.shape.len()) {
            let (name, axes) = (self.name.escape_debug(), self.shape.len());
            return Err(format!("column \"{name}\": expected 1 to {MAX_AXES} axes, got {axes}"));
        }
        let outer = self.shape.iter().take_while(|&&axis| axis != 0);
        let empty = outer.fold(1usize, |product, &axis| product.saturating_mul(axis as usize));
        if elements == Some(0) && empty > MAX_EMPTY {
            let (name, shape) = (self.name.escape_debug(), &self.shape);
            return Err(format!(
                "column \"{name}\" of shape {shape:?}: expected at most {MAX_EMPTY} empty arrays, got {empty}"
            ));
        }
        if expected == Some(actual) {
            return Ok(());
        }
        let expected = expected.map_or("fewer".to_owned(), |n| n.to_string());
        Err(format!(
            "column \"{}\" of shape {:?}: expected {expected} {unit}, got {actual}",
            self.name.escape_debug(),
            self.shape
        ))
    }

    fn bytes(&self) -> usize {
        self.name.len()
            + match &self.values {
                Values::Numeric(numeric) => numeric.data.len(),
                Values::Text(text) => text.iter().map(|item| 16 + item.as_ref().map_or(0, String::len)).sum(),
            }
    }
}

impl Batch {
    /// How many instances are in it.
    pub fn instances(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Columns(columns) => {
                columns.first().and_then(|column| column.shape.first()).map_or(0, |&rows| rows as usize)
            }
            Self::Media(items) => items.len(),
        }
    }

    /// Bytes that its values take, names and metadata included.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Json(items) => items.iter().map(String::len).sum(),
            Self::Columns(columns) => columns.iter().map(Column::bytes).sum(),
            Self::Media(items) => {
                let size = |media: &Media| {
                    media.bytes.len()
                        + media.content_type.len()
                        + media.metadata.as_ref().map_or(0, String::len)
                };
                items.iter().map(size).sum()
            }
        }
    }

    /// Checks what a predictor returned: as many predictions as instances, columns that agree with
    /// their shapes, JSON that is JSON, and names that stand once.
    ///
    /// # Errors
    /// A sentence that names the part at fault.
    pub fn check(&self, instances: usize) -> Result<(), String> {
        match self {
            Self::Json(items) => {
                for (index, item) in items.iter().enumerate() {
                    serde_json::from_str::<&serde_json::value::RawValue>(item)
                        .map_err(|cause| format!("prediction {index} is not JSON: {cause}"))?;
                }
            }
            Self::Columns(columns) => {
                if let Some(twice) = first_repeated(columns.iter().map(|column| column.name.as_str())) {
                    return Err(format!("column \"{}\" stands twice", twice.escape_debug()));
                }
                for column in columns {
                    column.check()?;
                    let rows = column.shape.first().map_or(0, |&rows| rows as usize);
                    if rows != instances {
                        let name = column.name.escape_debug();
                        return Err(format!(
                            "column \"{name}\": expected {instances} predictions, got {rows}"
                        ));
                    }
                }
                if columns.is_empty() && instances > 0 {
                    return Err(format!("expected columns of {instances} predictions, got none"));
                }
                return Ok(());
            }
            Self::Media(items) => {
                for (index, item) in items.iter().enumerate() {
                    let Some(metadata) = &item.metadata else { continue };
                    let members: std::collections::BTreeMap<String, serde_json::Value> =
                        serde_json::from_str(metadata).map_err(|cause| {
                            format!("metadata of prediction {index} is no JSON object: {cause}")
                        })?;
                    // They stand beside these in the answer.
                    if let Some(twice) =
                        ["b64", "content_type"].into_iter().find(|name| members.contains_key(*name))
                    {
                        return Err(format!("metadata of prediction {index}: \"{twice}\" is the blob's own"));
                    }
                }
            }
        }
        if self.instances() == instances {
            Ok(())
        } else {
            Err(format!("expected {instances} predictions, got {}", self.instances()))
        }
    }
}
