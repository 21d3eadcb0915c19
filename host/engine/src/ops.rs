//! Operators of `ai.onnx.ml` that tract lacks or that are replaced here, registered under their ONNX names.

mod ensemble;
mod labels;
mod linear;
mod scaler;
mod scores;
mod trees;

use tract_onnx::model::OnnxOpRegister;

pub(crate) fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Scaler", scaler::scaler);
    operators.insert("LinearClassifier", linear::classifier);
    operators.insert("TreeEnsembleClassifier", trees::classifier);
    operators.insert("TreeEnsembleRegressor", trees::regressor);
}
