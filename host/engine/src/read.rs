//! From bytes to a graph that tract can plan: decoding, what is refused, and the dims left open.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::Onnx;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as DimValue;
use tract_onnx::pb::type_proto::{Tensor as TensorType, Value as TypeValue};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::TDim;

use crate::hold::Builders;
use crate::signature::{Description, Dim, TensorInfo};
use crate::weigh::weigh;
use crate::{Dtype, Error, ErrorKind, hold, kernels, ops};

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
    pub(crate) proto: ModelProto,
    pub(crate) onnx: Onnx,
    /// What its operators are built with
    pub(crate) builders: Arc<Builders>,
    pub(crate) description: Description,
    /// Whether plans should be made per shape, where a dim is open.
    pub(crate) shape_bound: bool,
    /// Whether tract has no plan for it, so that it is run in steps.
    pub(crate) stepwise: bool,
}

/// Decodes `bytes`; neither the weights nor the operators are looked at.
pub(crate) fn describe(bytes: &[u8]) -> Result<(ModelProto, Description), Error> {
    weigh(bytes)?;
    let mut reader = bytes;
    let proto =
        guard("reading the model", ErrorKind::InvalidModel, || onnx().proto_model_for_read(&mut reader))?;
    let description = Description::of(&proto)?;
    Ok((proto, description))
}

impl Reader {
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, Error> {
        let (mut proto, description) = describe(bytes)?;
        proto.graph.iter_mut().for_each(spell_out);
        let mut onnx = onnx().with_ignore_output_shapes(true).with_ignore_output_types(true);
        ops::register(&mut onnx.op_register);
        let builders = hold::register(&mut onnx.op_register);
        let graph = proto.graph.as_ref().ok_or_else(|| Error::model("the file holds no graph"))?;
        let opset = proto.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
        let Check { shape_bound, stepwise } = check(graph, &onnx, opset.map_or(1, |set| set.version))?;
        let narrow =
            description.inputs.iter().chain(&description.outputs).any(|i| i.dtype.to_tract().is_none());
        Ok(Self { proto, onnx, builders, description, shape_bound, stepwise: stepwise || narrow })
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

/// The longest name of a dim that is read as an expression, in bytes: to read one takes the stack, and to multiply it out
/// takes time, both without bound.
const LONGEST_DIM: usize = 64;

/// Writes down defaults that tract takes for others: a constant is zero in f32 where no value is given, not in f64. Dims
/// with long names become unknown ones.
fn spell_out(graph: &mut GraphProto) {
    for info in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        let value = info.r#type.as_mut().and_then(|r#type| r#type.value.as_mut());
        let Some(TypeValue::TensorType(TensorType { shape: Some(shape), .. })) = value else { continue };
        for dim in &mut shape.dim {
            dim.value.take_if(|dim| matches!(dim, DimValue::DimParam(name) if name.len() > LONGEST_DIM));
        }
    }
    for node in &mut graph.node {
        if node.op_type == "ConstantOfShape" && node.domain.is_empty() && node.attribute.is_empty() {
            let zero =
                TensorProto { dims: vec![1], data_type: 1, float_data: vec![0.0], ..TensorProto::default() };
            node.attribute.push(AttributeProto {
                name: "value".to_owned(),
                r#type: AttributeType::Tensor.into(),
                t: Some(zero),
                ..AttributeProto::default()
            });
        }
        for attribute in &mut node.attribute {
            attribute.g.iter_mut().chain(&mut attribute.graphs).for_each(spell_out);
        }
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

/// What the operators of a graph ask for.
#[derive(Default)]
struct Check {
    shape_bound: bool,
    stepwise: bool,
}

/// Refuses data outside of the file and operators that nothing implements, naming them; says whether any operator
/// is shape-bound, and whether any, or the dtype of a constant, is beyond tract.
fn check(graph: &GraphProto, onnx: &Onnx, opset: i64) -> Result<Check, Error> {
    let mut found = Check::default();
    graph.initializer.iter().try_for_each(inside)?;
    if !graph.sparse_initializer.is_empty() {
        return Err(Error::unsupported("sparse initializers are not read"));
    }
    let narrow =
        |t: &TensorProto| Dtype::from_onnx(t.data_type).is_some_and(|dtype| dtype.to_tract().is_none());
    found.stepwise |= graph.initializer.iter().any(narrow);
    for node in &graph.node {
        let ours = kernels::replaces(node, opset, onnx) || matches!(node.op_type.as_str(), "Loop" | "Scan");
        if !ours && !onnx.op_register.0.contains_key(&node.op_type) {
            return Err(Error::unsupported(format!("operator {} is not implemented", called(node))));
        }
        found.stepwise |= kernels::replaces(node, opset, onnx) || node.op_type == "Loop";
        found.shape_bound |= SHAPE_BOUND.contains(&node.op_type.as_str());
        for attribute in &node.attribute {
            attribute.t.iter().chain(&attribute.tensors).try_for_each(inside)?;
            for inner in attribute.g.iter().chain(&attribute.graphs) {
                let inner = check(inner, onnx, opset)?;
                found.shape_bound |= inner.shape_bound;
                found.stepwise |= inner.stepwise;
            }
        }
    }
    Ok(found)
}

/// `Scaler (ai.onnx.ml), node "scale"`.
pub(crate) fn called(node: &NodeProto) -> String {
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
