//! What a model file says about itself: the inputs and outputs of its graph, and its metadata.

#[cfg(feature = "graphs")]
mod missing;
#[cfg(feature = "graphs")]
mod onnx;

use std::fmt;

use crate::{Dtype, Feature, Task};

/// One dim of a shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// This many, no other
    Fixed(usize),
    /// Any number; equal names are equal numbers, except `?` (no name given)
    Symbol(String),
}

/// An input or output of a graph. Displays as `f32[N, 4, 256, 256]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Unique among the inputs, and among the outputs
    pub name: String,
    /// At the boundary; the graph may compute in another, see the crate's documentation
    pub dtype: Dtype,
    /// Outermost first. An output whose file gives not even a rank has the single symbol `...`
    pub shape: Vec<Dim>,
}

/// What [`Graph::describe`](crate::Graph::describe) reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// In the file's order, without those that the file itself gives a value
    pub inputs: Vec<TensorInfo>,
    /// In the file's order
    pub outputs: Vec<TensorInfo>,
    /// `doc_string` of the model, or of its graph; may be empty
    pub doc: String,
    /// `producer_name` and `producer_version`, such as `skl2onnx 1.20.0`; may be empty
    pub producer: String,
    /// `metadata_props`, in the file's order
    pub metadata: Vec<(String, String)>,
    /// Class labels of a booster, or of the last classifier or ZipMap of `ai.onnx.ml` in the graph, in the order of its
    /// scores
    pub labels: Vec<String>,
    /// Inputs of floats in which NaN stands for a missing value, in the file's order: an `Imputer` replaces it, or an
    /// ensemble of trees has a way for it. None for boosters, which all have one
    pub missing: Vec<String>,
    /// The columns of a booster's `input`, where its file names them
    pub features: Vec<Feature>,
    /// What a booster is for; none for ONNX
    pub task: Option<Task>,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => n.fmt(f),
            Self::Symbol(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.shape.iter().map(Dim::to_string).collect();
        write!(f, "{}[{}]", self.dtype, dims.join(", "))
    }
}
