//! A backend for wasmtime's `wasi:nn` as its users write one: ONNX by tract, with nothing of ours in it.

use std::path::Path;
use std::sync::Arc;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{TractErrorContext as _, bail};
use wasmtime_wasi_nn::backend::{
    BackendError, BackendExecutionContext, BackendFromDir, BackendGraph, BackendInner, Id, NamedTensor,
};
use wasmtime_wasi_nn::wit::{ExecutionTarget, GraphEncoding, TensorType};
use wasmtime_wasi_nn::{ExecutionContext, Graph, Tensor};

/// The file of a graph's folder.
pub const FILE: &str = "model.onnx";

pub struct Tract;

impl BackendInner for Tract {
    fn encoding(&self) -> GraphEncoding {
        GraphEncoding::Onnx
    }

    fn load(&mut self, builders: &[&[u8]], _: ExecutionTarget) -> Result<Graph, BackendError> {
        let [file] = builders else { return Err(BackendError::InvalidNumberOfBuilders(1, builders.len())) };
        let proto = onnx().proto_model_for_read(&mut &**file).map_err(failed)?;
        let graph: Box<dyn BackendGraph> = Box::new(Model(Arc::new(proto)));
        Ok(Graph::from(graph))
    }

    fn as_dir_loadable(&mut self) -> Option<&mut dyn BackendFromDir> {
        Some(self)
    }
}

impl BackendFromDir for Tract {
    fn load_from_dir(&mut self, folder: &Path, target: ExecutionTarget) -> Result<Graph, BackendError> {
        let file = std::fs::read(folder.join(FILE)).map_err(failed)?;
        self.load(&[&file], target)
    }
}

#[derive(Clone)]
struct Model(Arc<ModelProto>);

impl BackendGraph for Model {
    fn init_execution_context(&self) -> Result<ExecutionContext, BackendError> {
        let context: Box<dyn BackendExecutionContext> = Box::new(self.clone());
        Ok(ExecutionContext::from(context))
    }
}

impl BackendExecutionContext for Model {
    fn set_input(&mut self, _: Id, _: &Tensor) -> Result<(), BackendError> {
        Err(failed("inputs come with the compute"))
    }

    fn get_output(&mut self, _: Id) -> Result<Tensor, BackendError> {
        Err(failed("outputs come with the compute"))
    }

    fn compute(
        &mut self,
        inputs: Option<Vec<NamedTensor>>,
    ) -> Result<Option<Vec<NamedTensor>>, BackendError> {
        let outputs = self.run(&inputs.unwrap_or_default()).map_err(failed)?;
        Ok(Some(outputs))
    }
}

impl Model {
    /// Plans for the shapes that are given, and runs that.
    fn run(&self, inputs: &[NamedTensor]) -> TractResult<Vec<NamedTensor>> {
        let onnx = onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
        let mut model = onnx.model_for_proto_model(&self.0)?;
        let graph = self.0.graph.as_ref().context("no graph")?;
        let mut given = TVec::new();
        for at in 0..model.inputs.len() {
            let name = model.node(model.inputs[at].node).name.clone();
            let input =
                inputs.iter().find(|input| input.name == name).with_context(|| format!("no {name}"))?;
            let tensor = take(&input.tensor)?;
            model.set_input_fact(at, InferenceFact::dt_shape(tensor.datum_type(), tensor.shape()))?;
            given.push(tensor.into_tvalue());
        }
        let outputs = model.into_optimized()?.into_runnable()?.run(given)?;
        let names = graph.output.iter().map(|output| output.name.clone());
        names.zip(&outputs).map(|(name, output)| Ok(NamedTensor { name, tensor: give(output)? })).collect()
    }
}

fn take(tensor: &Tensor) -> TractResult<tract_onnx::prelude::Tensor> {
    let shape: Vec<usize> = tensor.dimensions.iter().map(|&axis| axis as usize).collect();
    match tensor.ty {
        TensorType::Fp32 => {
            let (items, _) = tensor.data.as_chunks::<4>();
            let items: Vec<f32> = items.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            tract_onnx::prelude::Tensor::from_shape(&shape, &items)
        }
        other => bail!("expected floats, got {other:?}"),
    }
}

fn give(value: &TValue) -> TractResult<Tensor> {
    let ty = match value.datum_type() {
        dtype if dtype == f32::datum_type() => TensorType::Fp32,
        dtype if dtype == i64::datum_type() => TensorType::I64,
        other => bail!("expected floats or whole numbers, got {other:?}"),
    };
    let dimensions = value.shape().iter().map(|&axis| u32::try_from(axis)).collect::<Result<_, _>>()?;
    Ok(Tensor { dimensions, ty, data: value.as_bytes().to_vec() })
}

fn failed(cause: impl std::fmt::Display) -> BackendError {
    BackendError::BackendAccess(wasmtime::format_err!("{cause:#}"))
}
