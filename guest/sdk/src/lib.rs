//! Write a predictor for an ampoule: the code that is sealed with a model.
//!
//! A [`Predictor`] has four steps, `load`, `preprocess`, `predict` and `postprocess`. Each default
//! does what the manifest's pipeline says, so that a predictor writes only what it knows better:
//!
//! ```
//! use ampoule_guest::{Batch, Call, Failure, Manifest, Predictor, table::Table};
//!
//! /// Adds the ratio of two columns before the model sees them.
//! struct Ratio;
//!
//! impl Predictor for Ratio {
//!     fn load(_: &Manifest) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn preprocess(&self, call: &mut Call<'_>, instances: Batch) -> Result<Vec<Table>, Failure> {
//!         let mut columns = instances.into_columns()?;
//!         let width = columns.get("width")?.to_f32()?;
//!         let height = columns.get("height")?.to_f32()?;
//!         let ratio: Vec<f32> = width.iter().zip(&height).map(|(w, h)| w / h).collect();
//!         let rows = columns.rows();
//!         columns.insert("ratio", ampoule_guest::Tensor::new(&[rows], ratio)?)?;
//!         call.pipeline.preprocess(Batch::Columns(columns), &mut call.frames)
//!     }
//! }
//!
//! ampoule_guest::export!(Ratio);
//! ```
//!
//! The modules [`table`], [`image`] and [`results`] hold the steps themselves. They are pure, and run
//! and test natively.
//!
//! # Not guaranteed
//! - Threads, files, sockets and the environment: there are none in the sandbox.
//! - Bit-equal results of floating point between processors: sums in [`image`] and [`results`] are
//!   ordered, but the graph's own arithmetic is the host's.

#[cfg(any(test, all(target_family = "wasm", not(target_feature = "atomics"))))]
#[expect(unsafe_code, reason = "an allocator is")]
mod allocator;
mod batch;
#[doc(hidden)]
pub mod bindings;
mod failure;
mod graph;
pub mod image;
mod manifest;
mod pipeline;
mod predictor;
pub mod results;
pub mod table;
mod tensor;

pub use batch::{Batch, Media};
pub use failure::{Failure, Fault};
pub use graph::Graph;
pub use manifest::{Dim, Field, GraphFacts, GraphTensor, Manifest};
pub use pipeline::{Frame, ImageSteps, Mask, MaskForm, Pipeline};
pub use predictor::{Call, Loaded, Predictor};
pub use tensor::{Dtype, Element, Elements, Tensor, f16_to_f32};
