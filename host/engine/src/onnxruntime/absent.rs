//! In the place of ONNX Runtime where this crate is built without it: none of these can be made.

use std::path::Path;

use crate::onnxruntime::OnnxRuntime;
use crate::signature::{Description, TensorInfo};
use crate::{Error, Tensor};

pub(super) enum Library {}

impl Library {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        Err(Error::unsupported(format!(
            "{}: this program is built without ONNX Runtime (cargo feature \"onnxruntime\")",
            path.display()
        )))
    }

    pub(super) fn version(&self) -> &str {
        match *self {}
    }
}

pub(crate) enum Session {}

impl Session {
    pub(crate) fn load(runtime: &OnnxRuntime, _: &[u8]) -> Result<(Self, Description), Error> {
        match *runtime.library {}
    }

    pub(crate) fn run(&self, _: &[Tensor], _: &[TensorInfo]) -> Result<Vec<(String, Tensor)>, Error> {
        match *self {}
    }
}
