//! [`Manifest`]: what a predictor is told about the ampoule that it is sealed in.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Dtype, Failure};

/// The part of the ampoule's manifest that a predictor has a use for; the rest is passed over.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub inputs: Vec<Field>,
    #[serde(default)]
    pub outputs: Vec<Field>,
    #[serde(default)]
    pub graphs: Vec<GraphFacts>,
    #[serde(default)]
    pub pipeline: Option<serde_json::Value>,
    #[serde(default)]
    settings: serde_json::Map<String, serde_json::Value>,
}

/// One input or output of the signature, for one instance.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Field {
    pub name: String,
    /// `None` for media and for any JSON value.
    #[serde(default)]
    pub dtype: Option<Dtype>,
    /// The shape of one instance; empty for a scalar.
    #[serde(default)]
    pub shape: Vec<Dim>,
    /// The classes, in the order of their indices.
    #[serde(default)]
    pub labels: Vec<String>,
}

/// The size of one axis: a number, or a name for a size that differs between instances.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    Fixed(usize),
    Symbol(String),
}

/// What a sealed graph takes and gives; shapes have the batch axis.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GraphFacts {
    pub name: String,
    pub inputs: Vec<GraphTensor>,
    pub outputs: Vec<GraphTensor>,
}

/// One input or output of a graph.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GraphTensor {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<Dim>,
}

impl Manifest {
    /// Reads the text that `load` is given.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure with the field at fault.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text)
            .map_err(|cause| Failure::model(format!("the manifest can't be read: {cause}")))
    }

    /// The manifest's `settings.NAME` as a `T`.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where it is missing or is no `T`.
    pub fn setting<T: DeserializeOwned>(&self, name: &str) -> Result<T, Failure> {
        let value =
            self.settings.get(name).ok_or_else(|| Failure::model(format!("settings.{name} is missing")))?;
        T::deserialize(value).map_err(|cause| Failure::model(format!("settings.{name}: {cause}")))
    }

    /// The graph that is run by default: the first.
    ///
    /// # Errors
    /// A [`Fault::Model`](crate::Fault::Model) failure where none is sealed.
    pub fn graph(&self) -> Result<&GraphFacts, Failure> {
        self.graphs.first().ok_or_else(|| Failure::model("no graph is sealed in this ampoule"))
    }
}
