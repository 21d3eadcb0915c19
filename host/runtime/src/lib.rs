//! Opens ampoules and asks them for predictions.
//!
//! An ampoule is one file: a predictor (a WebAssembly component), its manifest and its graphs. A
//! [`Host`] is the process's engine, a [`Model`] an ampoule that it opened, and each prediction a
//! call in a sandbox of its own.
//!
//! ```no_run
//! use ampoule_host::{Decoder, Model, encode};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let iris = Model::open("iris.wasm")?;
//! // Rows of 4 numbers, or objects by the inputs' names; at most 1000 of them.
//! let request = Decoder::new(iris.manifest(), 1000).request(br#"{"instances": [[5.1, 3.5, 1.4, 0.2]]}"#)?;
//! let answer = iris.predict_blocking(request.instances, None)?;
//! let mut json = Vec::new();
//! encode::predictions(&answer.predictions, &iris.manifest().outputs, b"\n", &mut json)?;
//! println!("{} in {:?}", String::from_utf8(json)?, answer.timings);
//! # Ok(())
//! # }
//! ```
//!
//! A program that opens several, sets [`Limits`], keeps compiled code, or runs what it doesn't trust ([`Engine::Portable`])
//! makes a [`Host`] and opens them there; an asynchronous one awaits [`Model::predict`].
//!
//! # Features
//! - `seal`: sealing, and compiling what has no precompiled code. Without it no compiler is linked.
//! - `onnxruntime`: graphs can be run by ONNX Runtime, from a shared library that [`OnnxRuntime::open`] is given.
//!
//! # Not guaranteed
//! - A graph is parsed and run by the engine in the host's own process: open only ampoules whose
//!   graphs you trust, or portable ones with [`Engine::Portable`]. The predictor's code needs no trust.
//! - A compute can't be stopped: a call that passes its deadline is answered at once, while its
//!   compute goes on and keeps its place until it ends.
//! - Nothing here hides timing from a predictor that looks for it.

mod ampoule;
mod bindings;
mod call;
mod error;
mod host;
mod limits;
mod model;
mod nn;
mod precompiled;
pub mod profile;
#[cfg(feature = "seal")]
pub mod seal;
mod wasi;

pub use ampoule::{Ampoule, hex, sha256_hex};
pub use ampoule_engine::OnnxRuntime;
pub use ampoule_wire::{
    Agreement, Batch, Checked, Column, ColumnDtype, Decoder, Dim, Dtype, Failure, FailureFault, Field, Form,
    GraphFacts, GraphTensor, Manifest, Media, Numeric, Refusal, Request, Values, encode, is_name,
};
pub use call::{Answer, Timings};
pub use error::{Error, Fault, Kind};
pub use host::{Engine, Host, HostConfig, Reuse};
pub use limits::{Limit, Limits};
pub use model::{Model, Opening};
#[cfg(feature = "seal")]
pub use precompiled::{Package, package};
