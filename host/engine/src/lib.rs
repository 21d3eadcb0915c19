//! Runs the graphs of models, in the caller's thread unless it is given helpers: ONNX through tract, and boosters from the files of the libraries
//! that trained them. Knows nothing of wasm or clouds.
//!
//! The flow: [`Graph::load`] reads the bytes (`read`), replaces slow or missing operators (`ops`), builds
//! a plan (`plan`) or, where dims are open and shapes decide the kernels, one plan per shape (`cache`). On the way,
//! convolutions and what lies between them go to kernels of this crate (`conv`).
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
//! tract's; this crate's own kernels for what tract lacks or answers otherwise than ONNX says (`kernels`), with which a
//! graph is run step by step where it can't be planned whole (`steps`); and all of `ai.onnx.ml` that has a tensor form,
//! with what text pipelines need (`ops`), which follow ONNX Runtime where the specification is silent, and compute in
//! f32 as it does. Ensembles of trees compare and sum in f32, or in f64 where their attributes or rows are doubles
//! (`forest`).
//!
//! Maps have no form here. A ZipMap gives its scores as `[N, C]` under its own name, with the classes in
//! [`Description::labels`] in the same order; CastMap and DictVectorizer, which take maps, are refused.
//!
//! Conv, ConvTranspose, pools, Resize, Concat of channels, Sigmoid and the like are this crate's own too where they stand
//! around a convolution in f32 over `[N, C, H, W]` and the processor has AVX2 or AVX-512 (`conv`). Their answers are
//! those of tract but for the rounding of sums in another order; convolutions of 3 × 3 neighbours and 16 channels or more
//! are Winograd's, whose rounding is relative to the greatest sum among 4 × 4 pixels.
//!
//! # Boosters
//!
//! XGBoost 1.0 to 3.x: models saved as `.json` or `.ubj` (`gbtree`, `dart`, `gblinear`; categorical splits; several
//! outputs). Raw scores have the library's own bits. Trees behind `best_iteration` are left out.
//!
//! LightGBM 2.3 to 4.x: models saved as text, of every objective and kind of boosting, categorical splits, the names of
//! categories where a data frame had them; linear trees are refused. CatBoost: models saved as JSON, symmetric trees and others, of numerical features; others are refused.
//! Rows are f64 for LightGBM, which compares so, and f32 for the others. Raw scores are within 1e-12 of the library's,
//! which adds in another order.
//!
//! [`compact`] gives a form of them that loads faster. Such a graph has one input, `input` `[N, F]`; NaN is a missing
//! value, and a categorical feature holds the position of its category in [`Feature::categories`]. Its outputs are
//! `label` `[N]` and `probabilities` `[N, C]` where the objective is about classes, otherwise `prediction`, `[N]` or
//! `[N, K]`.
//!
//! # Dtypes at the boundary
//!
//! Inputs and outputs keep the dtype that the file declares. Inside, a graph with f16 weights computes in f32 on
//! processors without f16 arithmetic (all x86-64 and wasm): an f16 input is widened, an f16 output is rounded
//! once, at the end. The answer is then closer to the exact one than f16 arithmetic would give. A graph that is run
//! step by step rounds after each operator. bf16 and the narrow floats and integers of quantized weights are run so.
//!
//! # ONNX Runtime
//!
//! With the feature `onnxruntime`, [`LoadOptions::engine`] may be [`Engine::OnnxRuntime`]: a shared library that
//! [`OnnxRuntime::open`] was given (nothing is linked or fetched) runs ONNX graphs in the caller's thread, with one thread
//! for each run and all of its optimisations. What is said here of inputs, outputs, maps and weights outside of the file
//! holds for it too; dtypes whose elements take less than a byte, `f8e8m0` and boosters are refused. It computes in
//! the dtypes of the file, f16 among them, and lacks some of them for some operators, such as bf16 for most. Text
//! operators that change case need the system's locale `en_US.UTF-8` there.
//!
//! # Not guaranteed
//!
//! - An end of a call, or how much memory it takes: a graph may ask for more than there is, or loop for ever. Deadlines and
//!   memory caps belong to the caller. Loading aims at eight times the file and 64 MB at most, whatever the bytes, and
//!   `fuzz` looks for those with which it takes more. Nothing guards against what a model makes ONNX Runtime do, which
//!   is C++.
//! - Bit-equal answers between processors, between plans for different shapes, or with other engines.
//! - Output dims: those in [`Graph::outputs`] are what the file claims; [`Graph::run`] returns what was computed.

#![cfg_attr(not(feature = "graphs"), allow(dead_code, reason = "what runs graphs alone"))]

mod arguments;
#[cfg(feature = "graphs")]
mod batch;
mod booster;
#[cfg(feature = "graphs")]
mod cache;
#[cfg(feature = "graphs")]
mod conv;
mod dtype;
#[cfg(feature = "graphs")]
mod engine;
mod error;
mod forest;
#[cfg(feature = "graphs")]
mod graph;
#[cfg(feature = "graphs")]
mod hold;
mod import;
#[cfg(feature = "graphs")]
mod kernels;
mod narrow;
pub mod nn;
#[cfg(feature = "graphs")]
mod onnxruntime;
#[cfg(feature = "graphs")]
mod ops;
#[cfg(feature = "graphs")]
mod pictures;
#[cfg(feature = "graphs")]
mod plan;
#[cfg(feature = "graphs")]
mod precision;
#[cfg(feature = "graphs")]
mod profile;
#[cfg(feature = "graphs")]
mod read;
#[cfg(feature = "graphs")]
mod runs;
#[cfg(feature = "graphs")]
mod sample;
mod signature;
#[cfg(feature = "graphs")]
mod steps;
mod tensor;
mod weigh;

pub use booster::{CompactBooster, Margin};
pub use dtype::Dtype;
#[cfg(feature = "graphs")]
pub use engine::Engine;
pub use error::{Error, ErrorKind};
#[cfg(feature = "graphs")]
pub use graph::{Asked, Graph, LoadOptions};
pub use import::{Feature, FeatureKind, Task, compact, is_compact};
#[cfg(feature = "graphs")]
pub use onnxruntime::OnnxRuntime;
#[cfg(feature = "graphs")]
pub use profile::{Implementation, NodeTime, OperatorTime, Profile};
pub use signature::{Description, Dim, TensorInfo};
pub use tensor::Tensor;
