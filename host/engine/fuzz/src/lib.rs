//! Gives made-up bytes to what loads models, and holds it to its word: no panic, at most eight times the file and 64 MB in
//! use at one time, an end. The flow: a target of `fuzz_targets` takes bytes from libFuzzer, which changes them by the
//! target's own way (`json`, `ubjson`, `lines`, `onnx`) half of the time, and calls [`booster`] or [`graph`].
//!
//! Panics inside of tract are caught by the engine, which answers with an error; those of the engine itself are findings
//! even where something would catch them.

#[path = "../../tests/counting.rs"]
mod counting;
pub mod json;
pub mod lines;
pub mod onnx;
mod random;
pub mod ubjson;

use ampoule_engine::{Dim, Dtype, Graph, LoadOptions, Tensor, compact};
use counting::{bounded, watch};
pub use random::Random;

/// A booster in a library's file or in the compact form: what loads also answers, and alike in both forms.
pub fn booster(bytes: &[u8]) {
    watch();
    let sealed = bounded("compact", bytes, || compact(bytes));
    let Ok(graph) = bounded("load", bytes, || Graph::load(bytes, &LoadOptions::default())) else {
        return;
    };
    let answers = answer(&graph);
    if let Ok(Some(sealed)) = sealed {
        let again =
            bounded("load what was made compact", &sealed, || Graph::load(&sealed, &LoadOptions::default()));
        assert_eq!(answers, answer(&again.expect("a model is one in the compact form too")));
    }
}

/// Anything else: ONNX, or nothing at all. Which is loaded, not run: how long that may take is the caller's to say.
pub fn graph(bytes: &[u8]) {
    watch();
    let described = bounded("describe", bytes, || Graph::describe(bytes).is_ok());
    let loaded = bounded("load", bytes, || Graph::load(bytes, &LoadOptions::default()).is_ok());
    assert!(described || !loaded, "a model that loads can be described");
}

/// The answers, as bytes, to one row and to as many as go another way; none of a model with very wide rows.
fn answer(graph: &Graph) -> Vec<Vec<u8>> {
    const WIDEST: usize = 1 << 12;
    const VALUES: [f64; 12] =
        [0.0, 1.0, -1.0, f64::NAN, 0.5, 3.0, f64::INFINITY, -0.0, 1e-40, 7.25, f64::NEG_INFINITY, 1e300];
    let info = &graph.inputs()[0];
    let Dim::Fixed(width) = info.shape[1] else { return Vec::new() };
    let wide = |info: &ampoule_engine::TensorInfo| {
        info.shape.iter().any(|dim| matches!(dim, Dim::Fixed(n) if *n > WIDEST))
    };
    if wide(info) || graph.outputs().iter().any(wide) {
        return Vec::new();
    }
    let mut answers = Vec::new();
    for rows in [1, 13, 70] {
        let values = (0..rows * width).map(|at| VALUES[(at * 7 + at / 12) % VALUES.len()]);
        let bytes: Vec<u8> = match info.dtype {
            Dtype::F64 => values.flat_map(f64::to_le_bytes).collect(),
            _ => values.flat_map(|value| (value as f32).to_le_bytes()).collect(),
        };
        let rows = Tensor::from_le_bytes(info.dtype, &[rows, width], &bytes).expect("as many bytes as said");
        let outputs = graph.run(vec![(info.name.clone(), rows)]).expect("rows that fit are answered");
        for (_, output) in outputs {
            answers.push(match output.strings() {
                Some(strings) => strings.join("\n").into_bytes(),
                None => output.as_bytes().to_vec(),
            });
        }
    }
    answers
}
