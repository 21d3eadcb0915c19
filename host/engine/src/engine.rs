//! [`Engine`]: what runs the graphs of ONNX models.

use crate::OnnxRuntime;

/// What runs the graphs of ONNX models. Names, dtypes, shapes and what is refused at the boundary are the same.
#[derive(Clone, Debug, Default)]
pub enum Engine {
    /// This crate: tract, with its own kernels and operators; boosters too
    #[default]
    Native,
    /// ONNX Runtime. Boosters' own files are refused: they have no ONNX form
    OnnxRuntime(OnnxRuntime),
}
