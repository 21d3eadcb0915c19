//! [`Session`]: a model in ONNX Runtime, behind the boundary of this crate.

use std::ffi::CString;

use super::OnnxRuntime;
use super::file::{self, Handed, Place};
use super::library::{Failure, Model};
use super::value::crosses;
use crate::arguments::fits;
use crate::graph::read_booster;
use crate::read::describe;
use crate::signature::{Description, TensorInfo};
use crate::steps::declared;
use crate::{Dtype, Error, ErrorKind, Tensor};

pub(crate) struct Session {
    model: Model,
    places: Vec<Place>,
}

impl Session {
    /// # Errors
    ///
    /// `InvalidModel` for bytes that are no ONNX model or one that ONNX Runtime calls wrong. `Unsupported` for what it
    /// lacks, for boosters, for dtypes whose elements take less than a byte, and for weights outside of the file, which
    /// are never looked for.
    pub(crate) fn load(runtime: &OnnxRuntime, bytes: &[u8]) -> Result<(Self, Description), Error> {
        if let Some(booster) = read_booster(bytes)? {
            return Err(Error::unsupported(format!(
                "ONNX Runtime has no form of a model of {}: expected ONNX (the native engine runs both)",
                booster.producer
            )));
        }
        let (proto, description) = describe(bytes)?;
        file::check_inside(bytes)?;
        for (role, infos) in [("input", &description.inputs), ("output", &description.outputs)] {
            if let Some(info) = infos.iter().find(|info| !crosses(info.dtype)) {
                let (name, dtype) = (&info.name, info.dtype);
                return Err(Error::unsupported(format!(
                    "{role} {name:?}: {dtype} is not passed to ONNX Runtime (the native engine takes it)"
                )));
            }
        }
        let graph = proto.graph.as_ref().ok_or_else(|| Error::model("the file holds no graph"))?;
        let Handed { bytes, asked, places } = file::handed(bytes, graph, &description.outputs)?;
        let inputs = description.inputs.iter().map(|info| info.name.as_str());
        let (inputs, outputs) = (names(inputs)?, names(asked.iter().map(String::as_str))?);
        let model = Model::new(&runtime.library, &bytes, inputs, outputs).map_err(|failure| {
            let kind = if failure.is_missing() { ErrorKind::Unsupported } else { ErrorKind::InvalidModel };
            let message = format!("ONNX Runtime {} does not take the model", runtime.version());
            Error::new(kind, message).caused_by(&failure)
        })?;
        Ok((Self { model, places }, description))
    }

    /// `inputs` in the graph's order, checked against its signature; `outputs` are those of its description.
    pub(crate) fn run(
        &self,
        inputs: &[Tensor],
        outputs: &[TensorInfo],
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let values = self.model.run(inputs).map_err(|failure| {
            Error::new(ErrorKind::InvalidInput, "running the graph failed").caused_by(&failure)
        })?;
        let answer = |(info, place): (&TensorInfo, &Place)| {
            let (Place::Output(at) | Place::Scores(at)) = *place;
            let unread = |failure: Failure| {
                Error::unsupported(format!("output {:?} can't be read", info.name)).caused_by(&failure)
            };
            let tensor = values[at].tensor().map_err(unread)?;
            let tensor = match place {
                Place::Output(_) => declared(tensor, info)?,
                Place::Scores(_) => scores(tensor, info)?,
            };
            Ok((info.name.clone(), tensor))
        };
        outputs.iter().zip(&self.places).map(answer).collect()
    }
}

/// What a ZipMap would take, as `[N, C]`.
fn scores(tensor: Tensor, info: &TensorInfo) -> Result<Tensor, Error> {
    let tensor = match *tensor.shape() {
        [classes] => Tensor::from_le_bytes(tensor.dtype(), &[1, classes], tensor.as_bytes())?,
        _ => tensor,
    };
    if tensor.dtype() == Dtype::F32 && fits(info, tensor.shape()) {
        return Ok(tensor);
    }
    let (dtype, shape) = (tensor.dtype(), tensor.shape());
    Err(Error::model(format!("output {:?}: expected {info}, the graph has {dtype}{shape:?}", info.name)))
}

/// As C takes them.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<CString>, Error> {
    let name = |name: &str| {
        CString::new(name)
            .map_err(|_| Error::model(format!("expected a name without a zero byte, got {name:?}")))
    };
    names.map(name).collect()
}
