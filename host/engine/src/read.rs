//! From bytes to a graph that tract can plan: decoding, what is refused, and the dims left open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::TDim;

use crate::signature::{Description, Dim, TensorInfo};
use crate::{Error, ErrorKind, ops};

/// Operators whose kernels are chosen by the shape: a plan for open dims would be slow, or fail.
const SHAPE_BOUND: [&str; 14] = [
    "AveragePool",
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "DeformConv",
    "GRU",
    "If",
    "LSTM",
    "Loop",
    "MaxPool",
    "QLinearConv",
    "Resize",
    "Scan",
    "Upsample",
];

/// A decoded model and how it is to be read.
pub(crate) struct Reader {
    proto: ModelProto,
    onnx: Onnx,
    pub(crate) description: Description,
    /// Whether plans should be made per shape, where a dim is open.
    pub(crate) shape_bound: bool,
}

/// Decodes `bytes`; neither the weights nor the operators are looked at.
pub(crate) fn describe(bytes: &[u8]) -> Result<(ModelProto, Description), Error> {
    let mut reader = bytes;
    let proto =
        guard("reading the model", ErrorKind::InvalidModel, || onnx().proto_model_for_read(&mut reader))?;
    let description = Description::of(&proto)?;
    Ok((proto, description))
}

impl Reader {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Error> {
        let (proto, description) = describe(bytes)?;
        let mut onnx = onnx().with_ignore_output_shapes(true).with_ignore_output_types(true);
        ops::register(&mut onnx.op_register);
        let graph = proto.graph.as_ref().ok_or_else(|| Error::model("the file holds no graph"))?;
        let shape_bound = check(graph, &onnx)?;
        Ok(Self { proto, onnx, description, shape_bound })
    }

    /// The graph with the inputs' dims as declared, each open one a symbol. Shapes inside are derived rather than
    /// read from the file, whose claims are often wrong, unless `trusting` them is what is left.
    pub(crate) fn model(&self, trusting: bool) -> Result<InferenceModel, Error> {
        let onnx = self.onnx.clone().with_ignore_value_info(!trusting);
        // No directory is given, so data outside of the file is refused and no file is opened.
        guard("reading the graph", ErrorKind::InvalidModel, || {
            let mut model = onnx.model_for_proto_model(&self.proto)?;
            for (at, info) in self.description.inputs.iter().enumerate() {
                let fact = open_fact(&model, info)?;
                model.set_input_fact(at, fact)?;
            }
            Ok(model)
        })
    }
}

/// Runs what calls into tract. It has `unwrap`s and indexing on the model's own numbers (an output that no node
/// makes, raw bytes of an unknown dtype, axes out of range), so that hostile bytes reach panics; none of them
/// leaves anything shared behind.
pub(crate) fn guard<T>(
    doing: &str,
    kind: ErrorKind,
    call: impl FnOnce() -> TractResult<T>,
) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|e| Error::new(kind, format!("{doing} failed")).caused_by(&e)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let cause = TractError::msg(format!("tract panicked: {text}"));
            Err(Error::new(kind, format!("{doing} failed")).caused_by(&cause))
        }
    }
}

fn open_fact(model: &InferenceModel, info: &TensorInfo) -> TractResult<InferenceFact> {
    let datum =
        info.dtype.to_tract().ok_or_else(|| TractError::msg(format!("{} is not run here", info.dtype)))?;
    let dims = info.shape.iter().map(|dim| match dim {
        Dim::Fixed(n) => TDim::from(*n),
        Dim::Symbol(name) if name == "?" => model.symbols.new_with_prefix("open").into(),
        Dim::Symbol(name) => model.symbols.sym(name).into(),
    });
    Ok(InferenceFact::dt_shape(datum, dims.collect::<TVec<TDim>>()))
}

/// Refuses data outside of the file and operators that nothing implements, naming them; says whether any operator
/// is shape-bound.
fn check(graph: &GraphProto, onnx: &Onnx) -> Result<bool, Error> {
    let mut shape_bound = false;
    graph.initializer.iter().try_for_each(inside)?;
    if !graph.sparse_initializer.is_empty() {
        return Err(Error::unsupported("sparse initializers are not read"));
    }
    for node in &graph.node {
        if !onnx.op_register.0.contains_key(&node.op_type) {
            return Err(Error::unsupported(format!("operator {} is not implemented", called(node))));
        }
        shape_bound |= SHAPE_BOUND.contains(&node.op_type.as_str());
        for attribute in &node.attribute {
            attribute.t.iter().chain(&attribute.tensors).try_for_each(inside)?;
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                shape_bound |= check(inner, onnx)?;
            }
        }
    }
    Ok(shape_bound)
}

/// `Scaler (ai.onnx.ml), node "scale"`.
fn called(node: &NodeProto) -> String {
    let domain = if node.domain.is_empty() { "ai.onnx" } else { &node.domain };
    format!("{} ({domain}), node {:?}", node.op_type, node.name)
}

fn inside(tensor: &TensorProto) -> Result<(), Error> {
    if tensor.external_data.is_empty() && tensor.data_location.unwrap_or(0) == 0 {
        return Ok(());
    }
    let mend = "save the model with its weights inside";
    Err(Error::unsupported(format!("tensor {:?} lies outside of the model file ({mend})", tensor.name)))
}
