//! Runs the graphs of models: ONNX through tract, in the caller's thread. Knows nothing of wasm or clouds.
//!
//! The flow: [`Graph::load`] reads the bytes (`read`), replaces slow or missing operators (`ops`), builds
//! a plan (`plan`) or, where dims are open and shapes decide the kernels, one plan per shape (`cache`).
//! [`Graph::run`] checks the inputs against what the file declares and runs the plan.
//!
//! ```no_run
//! use ampoule_engine::{Dtype, Graph, LoadOptions, Tensor};
//!
//! let graph = Graph::load(&std::fs::read("iris.onnx")?, &LoadOptions::default())?;
//! let rows: Vec<u8> = [5.1f32, 3.5, 1.4, 0.2].iter().flat_map(|x| x.to_le_bytes()).collect();
//! let rows = Tensor::from_le_bytes(Dtype::F32, &[1, 4], &rows)?;
//! for (name, tensor) in graph.run(vec![("input".to_owned(), rows)])? {
//!     println!("{name}: {}{:?}", tensor.dtype(), tensor.shape());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Operators
//!
//! tract's, and of `ai.onnx.ml` this crate's own Scaler, LinearClassifier and TreeEnsemble* (`ops`), which follow
//! ONNX Runtime where the specification is silent. Trees take f32 or integer features; f64 thresholds and features
//! are refused.
//!
//! # Dtypes at the boundary
//!
//! Inputs and outputs keep the dtype that the file declares. Inside, a graph with f16 weights computes in f32 on
//! processors without f16 arithmetic (all x86-64 and wasm): an f16 input is widened, an f16 output is rounded
//! once, at the end. The answer is then closer to the exact one than f16 arithmetic would give.
//!
//! # Not guaranteed
//!
//! - Models are trusted: parsing is guarded against panics, but a model may still ask for more memory than there
//!   is, recurse deeply or compute for ever. Deadlines and memory caps belong to the caller.
//! - Bit-equal answers between processors, between plans for different shapes, or with other engines.
//! - Output dims: those in [`Graph::outputs`] are what the file claims; [`Graph::run`] returns what was computed.

mod cache;
mod dtype;
mod error;
mod graph;
mod ops;
mod plan;
mod precision;
mod read;
mod signature;
mod tensor;

pub use dtype::Dtype;
pub use error::{Error, ErrorKind};
pub use graph::{Graph, LoadOptions};
pub use signature::{Description, Dim, TensorInfo};
pub use tensor::Tensor;
